"""A real cloud-sync process on free ports, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

START_TIMEOUT_S = 30


@dataclass
class CloudService:
    """`cloud-sync serve` as a child process.

    Attributes:
        folder: where its data, log and output are.
        broker: URL of a broker, or empty for the embedded one.
        options: more arguments of `serve`.
        program: module to run, and arguments before `serve`.
        url: of the API, known after `start`.
        broker_url: known after `start`.
    """

    folder: Path
    broker: str = ""
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("cloud_sync.app",)
    environment: dict[str, str] = field(default_factory=dict)
    url: str = ""
    broker_url: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def start(self) -> "CloudService":
        """Start it and wait until it is ready; after a stop, on the same ports as before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        port = httpx.URL(self.url).port if self.url else 0
        arguments = ["serve", "--port", str(port), "--data-dir", str(self.data_dir)]
        if self.broker:
            arguments += ["--broker", self.broker]
        else:
            broker_port = httpx.URL(self.broker_url).port if self.broker_url else 0
            arguments += ["--broker-port", str(broker_port)]
        ready = self.data_dir / "service.json"
        ready.unlink(missing_ok=True)
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.program, *arguments, *self.options],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"cloud-sync did not start:\n{self.log()}")
            time.sleep(0.02)
        found = json.loads(ready.read_text())
        self.url, self.broker_url = found["url"], found["broker_url"]
        return self

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it without a warning, as a power cut would."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(10)
            self.process = None

    def log(self) -> str:
        """Everything it said so far."""
        return (self.folder / "service.log").read_text(errors="replace")
