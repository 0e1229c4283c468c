"""Real agents as processes of their own."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.daemon.local import ask_status
from edge_agent.daemon.refuge import current_folder
from edge_agent.daemon.status import AgentStatus
from edge_agent.errors import Unavailable
from tests.support.waiting import wait_for


@dataclass
class AgentProcess:
    """An agent on a folder of its own. `start` again after `stop` or `kill` is a reboot."""

    folder: Path
    cloud_url: str
    broker_url: str
    device: str = "line-1"
    data_broker: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    health_interval_s: float = 1
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> str:
        return (self.folder / "agent.log").read_text(errors="replace")

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'[agent]\ndevice = "{self.device}"\nstate_dir = "state"\nlog_level = "debug"\n'
            f'[cloud]\nurl = "{self.cloud_url}"\nbroker = "{self.broker_url}"\n'
            f'[data]\nbroker = "{self.data_broker}"\n'
            f"[health]\ninterval_s = {self.health_interval_s:g}\n"
        )
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent.daemon", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def status(self) -> AgentStatus:
        return ask_status(current_folder(self.state_dir))

    def await_status(self, timeout_s: float = 10) -> AgentStatus:
        """Wait until it answers."""

        def answered() -> AgentStatus | None:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            try:
                return self.status()
            except Unavailable:
                return None

        return wait_for(answered, timeout_s, lambda: self.log)

    def stop(self) -> int:
        """Ask it to end; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it as a power cut would; its workers notice by themselves."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(15)


def edge_agent(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the device's command line in a folder with its settings, and wait for it."""
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
