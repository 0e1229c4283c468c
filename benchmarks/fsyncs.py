"""How often a device makes its disk flush, and how much it writes: what wears an SD card out.

    python -m benchmarks.fsyncs [--seconds 120]

One real agent with ten modules: idle; then busy, with 100 results a second that all go to a cloud
which acknowledges them; then the same without a way to the cloud. strace counts the calls of all
processes of the agent (`fsync`, `fdatasync` and the like); without it there is no figure, and the
benchmark fails. What is written is what the kernel says that it sent to the disk (`/proc/PID/io`),
which is less than what was handed to it, and 0 on a file system in memory.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

import psutil

from benchmarks.device import Device, NumberedLoad
from benchmarks.report import Figure, finish, say
from edge_agent.contract.state import Phase

MODULES: Final = 10
PER_SECOND: Final = 100
CALLS: Final = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync")
SETTLE_S: Final = 10.0
ATTACH_S: Final = 15.0
HOUR_S: Final = 3600.0

_CALL: Final = re.compile(rf"\b({'|'.join(CALLS)})\(")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    strace = shutil.which("strace")
    if strace is None:
        print("strace is not installed, and nothing else counts flushes", file=sys.stderr)
        return 1
    figures: dict[str, Figure] = {"seconds": options.seconds, "results_per_s": PER_SECOND}
    with tempfile.TemporaryDirectory(prefix="shoal-fsyncs-") as name:
        folder = Path(name)
        with Device(folder, "nats") as device:
            for number in range(1, MODULES + 1):
                slot = f"module-{number}"
                uplink = "all" if number == 1 else "none"
                device.install(slot, 1, device.build(slot, uplink=uplink), Phase.ACTIVE)
            counter = Counting(strace, folder / "strace.txt", options.seconds)
            time.sleep(SETTLE_S)  # what installing left to do is over
            say(f"idle with {MODULES} modules for {options.seconds:g} s")
            figures |= counter.measure("idle", device.pid)
            load = NumberedLoad(device.broker, "module-1", 1 / PER_SECOND)
            time.sleep(SETTLE_S)
            say(f"busy for {options.seconds:g} s")
            figures |= counter.measure("busy", device.pid)
            device.cut_off()
            time.sleep(SETTLE_S)
            say(f"busy without a cloud for {options.seconds:g} s")
            figures |= counter.measure("offline", device.pid)
            load.finish(ATTACH_S)
    finish("fsyncs", figures)
    return 0


class Counting:
    """Counts the flushes of a process and its children for a while.

    Args:
        strace: the program.
        output: file for what it says.
        seconds: how long.
    """

    def __init__(self, strace: str, output: Path, seconds: float) -> None:
        self._strace = strace
        self._output = output
        self._seconds = seconds

    def measure(self, what: str, pid: int) -> dict[str, Figure]:
        """Flushes an hour, and KB that were written an hour, with `what` before the names.

        Raises:
            RuntimeError: strace may not look at the process.
        """
        top = psutil.Process(pid)
        family = [top, *top.children(recursive=True)]
        self._output.unlink(missing_ok=True)
        before = _written(family)
        tracer = subprocess.Popen(
            [
                *(self._strace, "-f", "-qq", "-e", f"trace={','.join(CALLS)}"),
                *("-o", str(self._output)),
                *(word for process in family for word in ("-p", str(process.pid))),
            ],
            stderr=subprocess.PIPE,
        )
        try:
            _await_attached(tracer, pid)
            begun = time.monotonic()
            time.sleep(self._seconds)
            elapsed = time.monotonic() - begun
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=ATTACH_S)
        calls = Counter(_CALL.findall(self._output.read_text()))
        say(f"{what}: {dict(calls)} in {elapsed:.0f} s")
        written_kb = (_written(family) - before) / 1000
        return {
            f"{what}_flushes_per_hour": round(calls.total() * HOUR_S / elapsed),
            f"{what}_written_kb_per_hour": round(written_kb * HOUR_S / elapsed),
        }


def _await_attached(tracer: subprocess.Popen[bytes], pid: int) -> None:
    deadline = time.monotonic() + ATTACH_S
    status = Path(f"/proc/{pid}/status")
    while f"TracerPid:\t{tracer.pid}" not in status.read_text():
        if tracer.poll() is not None:
            _, said = tracer.communicate()
            raise RuntimeError(f"strace cannot look at the agent: {said.decode().strip()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"strace did not get hold of process {pid} in {ATTACH_S:g} s")
        time.sleep(0.05)


def _written(family: list[psutil.Process]) -> int:
    """Bytes that the kernel sent to the disk for these processes."""
    return sum(process.io_counters().write_bytes for process in family if process.is_running())


if __name__ == "__main__":
    sys.exit(main())
