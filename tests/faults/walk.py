"""The walk: publishes the story's modules, starts the walkers, gathers what became of faults."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import DEFAULT_BUFFER_SIZE
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from tests.faults.outcome import Outcome
from tests.faults.preload import build, environment
from tests.faults.recording import Recording
from tests.faults.story import Modules
from tests.faults.walker import Form, Orders
from tests.support.fake_cloud import FakeCloud
from tests.support.models import BuiltModule, build_module

WALKERS: Final = 2
CASE_BYTES: Final = 58
WALK_S: Final = 3600.0
_MEMORY: Final = Path("/dev/shm")
_ROOM_BYTES: Final = 64 * 2**20


class Walk(Struct, frozen=True):
    """What became of every fault.

    Attributes:
        recordings: of the chapters, in order.
        outcomes: of the faults.
    """

    recordings: tuple[Recording, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def kills(self) -> int:
        """Processes that were killed."""
        return sum(outcome.kills for outcome in self.outcomes)

    @property
    def max_recovery_s(self) -> float:
        """Longest start after a fault, seconds."""
        return max(outcome.recovery_s for outcome in self.outcomes)

    @property
    def functions(self) -> frozenset[str]:
        """The agent's functions that changed the disk, with and without a fault."""
        found = [recording.functions for recording in self.recordings]
        return frozenset().union(*found, *(outcome.functions for outcome in self.outcomes))

    def complaints(self) -> list[str]:
        """What was wrong after a fault, a sentence each."""
        return [
            f"{outcome.scenario.action.name} at {outcome.point or outcome.scenario}: {text}"
            for outcome in self.outcomes
            for text in outcome.complaints
        ]


@contextmanager
def published() -> Iterator[tuple[str, Modules]]:
    """The story's modules on a real HTTP server.

    Yields:
        Its address, and their digests.
    """
    cloud = FakeCloud()
    try:
        with tempfile.TemporaryDirectory() as folder:
            modules = _publish(cloud, Path(folder))
        yield cloud.url, modules
    finally:
        cloud.close()


def _publish(cloud: FakeCloud, folder: Path) -> Modules:
    def built(name: str, module: str, bias: float, tolerance: float, cases: int = 1) -> BuiltModule:
        case = {"payload": {"a": 1, "b": 1, "c": 1}, "outputs": {"score": [6.0 + bias]}}
        made = build_module(
            folder / name, name=module, bias=bias, tolerance=tolerance, golden=[case] * cases
        )
        cloud.publish_module(made)
        return made

    first = built("first", "probe", 1.0, 1e-5)
    # More than a buffer comes at once and the rest fits into one, so that the number of writes does
    # not hang on how the network cuts the bytes.
    second = built("second", "probe", 2.0, 1e-5, cases=2 * DEFAULT_BUFFER_SIZE // CASE_BYTES)
    cases = second.manifest.health.golden[0]
    cloud.cuts[cases.digest] = DEFAULT_BUFFER_SIZE * 3 // 2
    assert DEFAULT_BUFFER_SIZE * 3 // 2 < cases.size < DEFAULT_BUFFER_SIZE * 5 // 2
    return Modules(
        first=first.digest,
        second=second.digest,
        # These share their files with the first: what differs is the manifest.
        crashing=built("crashing", "probe", 1.0, 2e-5).digest,
        unproved=built("unproved", "probe", 1.0, 3e-5).digest,
        other=built("other", "other", 1.0, 1e-5).digest,
        damaged=second.manifest.model.blob.digest,
    )


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A folder in memory if there is room; what is killed is a process, and no disk."""
    has_room = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    has_room = has_room and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="faults-", dir=_MEMORY if has_room else None) as folder:
        yield Path(folder)


def walk(form: Form) -> Walk:
    """Play every fault of a form of the walk."""
    with fast_folder() as folder, published() as (url, modules):
        library = build(folder)
        orders = [
            Orders(
                library=str(library),
                folder=str(folder / f"walker-{share}"),
                cloud_url=url,
                modules=modules,
                share=share,
                shares=WALKERS,
                form=form,
            )
            for share in range(WALKERS)
        ]
        with ThreadPoolExecutor(WALKERS) as pool:
            lines = b"".join(pool.map(lambda order: _walked(order, library), orders))
    recordings = []
    outcomes = []
    for line in lines.splitlines():
        if line.startswith(b"R"):
            recordings.append(msgspec.json.decode(line[1:], type=Recording))
        else:
            outcomes.append(msgspec.json.decode(line[1:], type=Outcome))
    return Walk(tuple(recordings), tuple(outcomes))


def _walked(orders: Orders, library: Path) -> bytes:
    Path(orders.folder).mkdir()
    command = [sys.executable, "-m", "tests.faults.walker", msgspec.json.encode(orders).decode()]
    done = subprocess.run(
        command,
        env=environment(library),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=WALK_S,
        check=False,
    )
    assert done.returncode == 0, f"a walker ended with {done.returncode}: {done.stderr.decode()}"
    return done.stdout
