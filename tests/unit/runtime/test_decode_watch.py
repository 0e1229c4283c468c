"""A picture that is decoded for ever costs its own process, and many pictures cost nobody."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from edge_agent.contract.manifest import Image as Layout
from edge_agent.contract.manifest import Input, Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.exit_status import ExitStatus
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.protocol import WorkerSpec
from edge_agent.runtime.run_guard import RunGuard
from edge_agent.runtime.run_mark import RunMark, make_run_mark
from tests.support.engines import load, picture
from tests.support.models import identity_model, manifest_of, write_module

TOPIC = "sensors/door/pictures"
SPEC = TensorSpec("x", "float32", (-1, 3, 1, 2))
MODEL = identity_model(SPEC)
MANIFEST = manifest_of(
    MODEL,
    [SPEC],
    [TensorSpec("x_out", "float32", (-1, 3, 1, 2))],
    [Tensor(name="x", source="image", image=Layout(width=2, height=1))],
    source=Input(topic="sensors/+/pictures", codec="image"),
    runtime=Runtime(run_timeout_ms=200),
)

# What decodes stands still for ever, as a library with a defect may.
STANDS_STILL = """
import sys, threading
from PIL import Image
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.loading import load
from edge_agent.runtime.protocol import spec_decoder
spec = spec_decoder.decode(bytes.fromhex(sys.argv[1]))
pipe = EventPipe(sys.stdout.buffer, stats=None, interval_s=60)
pipe.start()
engine = load(spec, pipe)
Image.open = lambda *_args, **_options: threading.Event().wait()
engine.answer("sensors/door/pictures", sys.stdin.buffer.read(), 0.0)
"""


def messages(count: int) -> list[Incoming]:
    return [
        Incoming(topic=TOPIC, payload=picture(size=(2, 1 + number)), received_s=0.0, token=number)
        for number in range(count)
    ]


@pytest.mark.parametrize("mode", ["live", "shadow", "trial"])
def test_a_picture_that_is_decoded_for_ever_ends_its_process(tmp_path: Path, mode: str) -> None:
    spec: WorkerSpec = write_module(tmp_path, MANIFEST, {}, MODEL).spec(mode)
    done = subprocess.run(
        [sys.executable, "-c", STANDS_STILL, msgspec.json.encode(spec).hex()],
        input=picture(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ExitStatus.FAILED, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["code"], said["retryable"]) == ("worker_hung", True)
    assert "picture" in said["text"]


def test_what_is_being_decoded_is_noted_where_the_agent_looks_and_each_has_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = make_run_mark()
    mark = RunMark(page)
    slot = LiveSlot(
        load(MANIFEST, MODEL),
        Counters(),
        lambda _: True,
        guard=RunGuard(RunMark(page), 0.2, lambda _: None, now=time.monotonic()),
    )
    real = Image.open
    seen: list[float | None] = []

    def watched(*args: object, **options: object) -> object:
        seen.append(mark.running().since)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", watched)
    given = messages(3)
    slot.offer(given)
    while slot.due(0.0) is not None:
        slot.run(0.0)
        assert mark.running().since is not None, "until the answers have left"
        slot.sent(0.0)
    assert len(seen) == 3
    assert all(seen)
    assert len({*seen}) == 3, "the time of one picture counts against another"
    assert mark.running().since is None
    os.close(page)
