"""What a process says about its memory, and what its bound leaves room for."""

import subprocess
import sys
from pathlib import Path

import msgspec

from edge_agent.contract.manifest import Input, Runtime, Tensor, Window
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.binding.store import MAX_SOURCES
from edge_agent.runtime.memory import peak_rss_mb, rss_mb
from tests.support.models import fields, identity_model, manifest_of, write_module

MODEST = "from edge_agent.runtime.memory import peak_rss_mb; print(peak_rss_mb())"
BIG_BEFORE = f"""
import os, sys
b"x" * (200 * 2**20)
os.execv(sys.executable, [sys.executable, "-c", {MODEST!r}])
"""

MANY_SOURCES = """
import collections, os, sys
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.loading import load
from edge_agent.runtime.protocol import spec_decoder
pipe = EventPipe(sys.stdout.buffer, stats=None, interval_s=60)
engine = load(spec_decoder.decode(sys.stdin.buffer.read()), pipe)
engine.attach(os.memfd_create("region"))
codes = collections.Counter()
for number in range(int(sys.argv[1])):
    answer = engine.answer(f"sensors/{number}/rows", b'{"a": 1, "b": 1}', 0.0)
    codes[answer.code if answer else ""] += 1
print(dict(codes), engine.losses)
"""


def test_the_peak_is_not_that_of_the_program_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BIG_BEFORE], capture_output=True, check=True, timeout=30
    )
    assert 1 < float(done.stdout) < 100


def test_the_peak_stays() -> None:
    held = b"x" * (100 * 2**20)
    del held
    assert peak_rss_mb() > rss_mb() + 50


def test_windows_of_many_sources_take_nothing_from_what_the_model_may_add(tmp_path: Path) -> None:
    spec = TensorSpec("X", "float32", (-1, 15_000, 2))
    model = identity_model(spec)
    manifest = manifest_of(
        model,
        [spec],
        [TensorSpec("X_out", "float32", (-1, 15_000, 2))],
        [Tensor(name="X", source="fields", fields=fields("a", "b"))],
        source=Input(topic="sensors/+/rows", window=Window(size=15_000, step=1)),
        runtime=Runtime(memory_mb=128),
    )
    built = write_module(tmp_path, manifest, {}, model)
    done = subprocess.run(
        [sys.executable, "-c", MANY_SOURCES, str(MAX_SOURCES)],
        input=msgspec.json.encode(built.spec("live")),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode().startswith(f"{{'': {MAX_SOURCES}}}"), done.stdout
