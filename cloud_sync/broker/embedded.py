"""The embedded broker: a `nats-server` child process speaking MQTT 3.1.1 on loopback.

It is there so that one command gives a working system; it must never be needed: any broker's
URL can be given to the service instead.
"""

import logging
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Final

from cloud_sync.errors import Conflict, Unavailable

START_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
OLD_BROKER_S: Final = 10.0
"""For the broker of a service that was killed: it is told to end, and takes some seconds."""
_LOOK_S: Final = 0.1
MAX_PAYLOAD_MB: Final = 64
MAX_IN_FLIGHT: Final = 512
ACK_WAIT_S: Final = 2
"""How long the broker waits for an acknowledgement before it sends a message again."""

logger = logging.getLogger(__name__)

# Nobody uses the server's own protocol here, but it wants a port for it: -1 lets it choose a free
# one itself, so that nobody can take it between our choice and its start.
_CONFIG: Final = """\
server_name: shoal
listen: "{host}:-1"
max_payload: {max_payload_mb}MB
max_pending: {max_pending_mb}MB
jetstream {{ store_dir: "{store}", sync_interval: "10s" }}
mqtt {{
  host: "{host}"
  port: {port}
  ack_wait: "{ack_wait_s}s"
  max_ack_pending: {max_in_flight}
}}
"""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def check_port(host: str, port: int, what: str) -> None:
    """Check that a port can be listened on.

    Raises:
        Conflict: somebody else does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"{what} cannot listen on {host}:{port}: {error.strerror}",
                hint="stop the program that uses this port, or choose another with --broker-port "
                "(0: any)",
                code="port_taken",
            ) from error


def find_server() -> str:
    """Path of the nats-server program that the Python package of that name installs.

    Raises:
        Unavailable: it is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise Unavailable(
            "the embedded broker's program 'nats-server' is not installed",
            hint="pip install 'shoal[cloud]', or give a broker with --broker mqtt://HOST:PORT",
            code="broker_missing",
        )
    return found


class EmbeddedBroker:
    """A broker for one service, with its sessions and retained messages kept in a folder.

    Args:
        data_dir: folder for sessions, retained and queued messages; created if missing.
        host: address to listen on.
        port: MQTT port; 0 chooses a free one.
        old_broker_s: how long to wait for one that an earlier service left in the folder.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        old_broker_s: float = OLD_BROKER_S,
    ) -> None:
        self._dir = data_dir.absolute()
        self._old_broker_s = old_broker_s
        self.host = host
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"mqtt://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker, 0 if it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else 0

    def start(self) -> None:
        """Start the broker and wait until it takes connections.

        Raises:
            Conflict: the port is taken, or a broker of an earlier service does not end.
            Unavailable: the program is missing, ended, or does not listen in time.
        """
        config = self._dir / "nats.conf"
        self._await_old_broker(config)
        if self.port == 0:
            self.port = free_port(self.host)
        else:
            check_port(self.host, self.port, "the embedded broker")
        program = find_server()
        self._dir.mkdir(parents=True, exist_ok=True)
        config.write_text(
            _CONFIG.format(
                host=self.host,
                port=self.port,
                store=self._dir / "store",
                max_payload_mb=MAX_PAYLOAD_MB,
                max_pending_mb=4 * MAX_PAYLOAD_MB,
                ack_wait_s=ACK_WAIT_S,
                max_in_flight=MAX_IN_FLIGHT,
            )
        )
        self._process = subprocess.Popen(
            [program, "-c", str(config), "-l", str(self._dir / "nats.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A Ctrl-C in a terminal goes to the whole group: the service ends the broker, last.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._await_listening()

    def _await_old_broker(self, config: Path) -> None:
        """Let a broker end that has this folder: it holds the port, and writes the same files."""
        deadline = time.monotonic() + self._old_broker_s
        said = 0
        while pid := _server_with(config):
            if pid != said:
                logger.warning("event=old_broker_ends pid=%d wait_s=%g", pid, self._old_broker_s)
                said = pid
            if time.monotonic() >= deadline:
                raise Conflict(
                    f"the embedded broker of an earlier cloud-sync in {self._dir} expected to end "
                    f"within {self._old_broker_s:g} s, found still there: process {pid}",
                    hint=f"end it: kill {pid}",
                    code="old_broker_runs",
                )
            time.sleep(_LOOK_S)

    def _await_listening(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        log = self._dir / "nats.log"
        last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        self.stop()
        raise Unavailable(
            f"the embedded broker did not start: {last[0] if last else 'it wrote no log'}",
            hint=f"see {log}",
            code="broker_failed",
        )

    def stop(self) -> None:
        """End the broker, first by asking; safe to call twice."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


def _server_with(config: Path) -> int:
    """Process id of a server that was started with a configuration file; 0 if there is none.

    The caller has the folder for itself, so whoever runs with its file is left from before.
    Always 0 on systems without /proc.
    """
    wanted = os.fsencode(config)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile, or is not ours to see
            continue
        if wanted in words and words[0].rpartition(b"/")[2] == b"nats-server":
            return int(entry.parent.name)
    return 0


def _die_with_parent() -> None:
    """Ask the kernel to end the broker when the service dies without cleaning up (Linux)."""
    import ctypes
    import signal

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
