"""The demo's programs: each a real process with its own log, ended in the reverse order."""

import contextlib
import json
import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final, Self

from cloud_sync.errors import Unavailable

STOP_TIMEOUT_S: Final = 10.0


def command(name: str) -> list[str]:
    """How to start one of our programs: the script beside this Python."""
    return [str(Path(sysconfig.get_path("scripts")) / name)]


def last_lines(log: Path, count: int = 3) -> str:
    """The end of a log file, for an error text."""
    if not log.exists():
        return "it wrote no log"
    lines = log.read_text(errors="replace").strip().splitlines()[-count:]
    return " | ".join(lines) if lines else "its log is empty"


class Programs:
    """Started processes; `with` ends all of them, whatever happens.

    Args:
        log_dir: where each writes its standard output and error.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._running: dict[str, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    def __enter__(self) -> Self:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def log(self, name: str) -> Path:
        """The log of a program."""
        return self._log_dir / f"{name}.log"

    def start(self, name: str, arguments: list[str]) -> None:
        """Start a program in a process group of its own, so that Ctrl-C reaches only the demo."""
        log = self.log(name).open("wb")
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._running[name] = (process, log)

    def check(self) -> None:
        """Check that everything that was started still runs, or has ended as it should.

        Raises:
            Unavailable: a program failed; its last words are in the text.
        """
        for name, (process, _) in self._running.items():
            if process.poll() not in (None, 0):
                raise Unavailable(
                    f"{name} ended with status {process.returncode}: {last_lines(self.log(name))}",
                    hint=f"see {self.log(name)}",
                    code="program_ended",
                )

    def is_done(self, name: str) -> bool:
        """Whether a program has ended."""
        return self._running[name][0].poll() is not None

    def stop(self) -> None:
        """Ask every program to end, last one first, then make it."""
        running = list(reversed(self._running.values()))
        for process, _ in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process, log in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_TIMEOUT_S)
            log.close()
        self._running.clear()


def wait_for(
    what: str,
    is_done: Callable[[], bool],
    programs: Programs,
    *,
    timeout_s: float,
    interval_s: float = 0.05,
) -> None:
    """Wait for a condition while the programs run.

    Raises:
        Unavailable: a program ended, or the time is over.
    """
    for _ in ticks(timeout_s, interval_s):
        if is_done():
            return
        programs.check()
    raise Unavailable(
        f"{what} did not happen within {timeout_s:g} s",
        code="timeout",
        hint="see what else keeps the machine busy; the logs are in the demo's folder",
    )


def ticks(timeout_s: float, interval_s: float) -> Iterator[None]:
    """Yield every `interval_s` seconds until the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        yield
        time.sleep(interval_s)


def write_agent_settings(
    folder: Path, *, device: str, cloud_url: str, broker_url: str, health_interval_s: float
) -> Path:
    """Write the `agent.toml` of one device and return its path."""
    folder.mkdir(parents=True)
    path = folder / "agent.toml"
    path.write_text(
        f"[agent]\ndevice = {json.dumps(device)}\nstate_dir = {json.dumps(str(folder / 'state'))}\n"
        f"\n[cloud]\nurl = {json.dumps(cloud_url)}\nbroker = {json.dumps(broker_url)}\n"
        f"\n[health]\ninterval_s = {health_interval_s:g}\n"
    )
    return path
