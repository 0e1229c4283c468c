"""Real brokers for tests: the embedded one, and Debian's mosquitto."""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cloud_sync.broker.embedded import EmbeddedBroker, free_port


def find_mosquitto() -> str:
    """Debian's server programs are not on every user's PATH."""
    return shutil.which("mosquitto") or "/usr/sbin/mosquitto"


@dataclass
class MosquittoBroker:
    """A mosquitto with persistence in a folder of its own; `extra` are more lines of its file."""

    folder: Path
    port: int = 0
    host: str = "127.0.0.1"
    is_durable: bool = True
    certificate: Path | None = None
    extra: str = ""

    def __post_init__(self) -> None:
        self.port = self.port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        scheme = "mqtts" if self.certificate else "mqtt"
        return f"{scheme}://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        program = find_mosquitto()
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} {self.host}\n" + self._tls() + "allow_anonymous true\n"
            "set_tcp_nodelay true\n"
            "max_queued_messages 100000\n"
            "persistence true\n"
            f"persistence_location {self.folder}/\n"
            + ("autosave_on_changes true\nautosave_interval 1\n" if self.is_durable else "")
            + self.extra
            + "user root\n"
        )
        self._process = subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
                return
            except OSError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError("mosquitto did not start") from error
                time.sleep(0.02)

    def _tls(self) -> str:
        if self.certificate is None:
            return ""
        key = self.certificate.with_name("key.pem")
        return f"certfile {self.certificate}\nkeyfile {key}\n"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


Broker = EmbeddedBroker | MosquittoBroker
