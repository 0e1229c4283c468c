"""The HTTP server as its own process, between an agent by script and workers by script.

The parts are the real ones: the process, the agent's local socket, the workers' doors and loop.
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import Phase, ReportedSlot
from edge_agent.daemon.http.limits import Limits
from edge_agent.daemon.http.process import HttpProcess
from edge_agent.daemon.http.protocol import ServerSpec
from edge_agent.daemon.local import LocalServer
from edge_agent.daemon.status import AgentStatus, LinkStatus, SlotStatus
from edge_agent.runtime.door import Answer, Door
from edge_agent.runtime.door_wire import DoorAsk, DoorHello, DoorReply, DoorTensor, door_file
from edge_agent.runtime.loop import Loop
from tests.support.waiting import wait_for

DIGEST = "sha256:" + "0" * 64


def echo(ask: DoorAsk, body: bytes) -> Answer:
    """Gives the body back, and where its JSON ends."""
    return DoorReply(outcome="ok", json_bytes=ask.json_bytes), body


class ScriptedWorker:
    """A door on a loop in a thread of its own; `answer` is the model."""

    def __init__(
        self,
        folder: Path,
        slot: str,
        *,
        version: int = 1,
        max_bytes: int = 2**20,
        answer: Callable[[DoorAsk, bytes], Answer] = echo,
    ) -> None:
        hello = DoorHello(
            module="forest",
            version=version,
            digest=DIGEST,
            max_bytes=max_bytes,
            inputs=(DoorTensor("X", "FP32", (-1, 9)),),
            outputs=(DoorTensor("label", "INT64", (-1,)),),
        )
        self.loop = Loop()
        self.door = Door(str(folder / door_file(slot)), hello, answer, self.loop)
        self._thread = threading.Thread(target=self.loop.run, daemon=True)

    def start(self) -> Self:
        self.door.open()
        self._thread.start()
        return self

    def leave(self) -> None:
        """End as a worker does that was told to."""
        self.loop.call_soon(self.door.close)
        self._end()

    def die(self) -> None:
        """End as a crash does: without a word, the socket's file left behind."""

        def drop() -> None:
            for peer in [*self.door._peers.values()]:
                self.loop.remove(peer.fd)
                peer.close()
            self.door._peers.clear()
            if self.door._listener is not None:
                self.loop.remove(self.door._listener.fileno())
                self.door._listener.close()
                self.door._listener = None

        self.loop.call_soon(drop)
        self._end()

    def hang_up(self) -> None:
        """What its peers see of a crash; to be called while it answers."""
        for peer in self.door._peers.values():
            peer._connection.shutdown(socket.SHUT_RDWR)
        assert self.door._listener is not None
        self.door._listener.shutdown(socket.SHUT_RDWR)

    def _end(self) -> None:
        self.loop.stop()
        self._thread.join(10)
        self.loop.close()


class HttpFront:
    """The server, the folder where workers listen, and the status that the agent tells."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.state_dir = folder
        self.run_folder = folder / "run"
        self.run_folder.mkdir(parents=True)
        self.slots: dict[str, SlotStatus] = {}
        self._workers: list[ScriptedWorker] = []
        self._agent = LocalServer(folder, self._status)
        self.process = HttpProcess(
            ServerSpec(
                host="127.0.0.1",
                port=0,
                state_dir=str(folder),
                run_folder=str(self.run_folder),
                version="1.2.3",
                limits=limits or Limits(),
            )
        )

    def __enter__(self) -> Self:
        self._agent.start()
        self.process.start()
        self.await_url()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
        for worker in self._workers:
            if worker.door._listener is not None:
                worker.leave()
        self._agent.stop()

    def await_url(self) -> str:
        return wait_for(lambda: self.process.status().url, 30, lambda: str(self.process.status()))

    def add(self, slot: str = "shuttle", *, has_worker: bool = True, **options: Any) -> Any:
        """A slot whose worker runs; its worker, if it is to have one."""
        self.slots[slot] = slot_status(version=options.get("version", 1))
        if not has_worker:
            return None
        worker = ScriptedWorker(self.run_folder, slot, **options).start()
        self._workers.append(worker)
        return worker

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.await_url())
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def socket(self) -> socket.socket:
        parts = urlsplit(self.await_url())
        return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        client = self.connect()
        try:
            client.request(method, path, body, headers or {})
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            client.close()

    def get(self, path: str) -> tuple[int, Any]:
        status, _, body = self.ask("GET", path)
        return status, json.loads(body)

    def post(self, path: str, body: bytes = b"{}", **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        status, _, answer = self.ask("POST", path, body, named)
        return status, json.loads(answer)

    def _status(self) -> AgentStatus:
        return AgentStatus(
            device="line-1",
            boot_id="boot",
            version="1.2.3",
            pid=1,
            time=time.time(),
            uptime_s=5.0,
            cloud=LinkStatus(url="", broker="", is_connected=True),
            revision_seen=4,
            revision_applied=3,
            slots=dict(self.slots),
            outbox_rows=7,
            outbox_dropped=1,
            disk_free_mb=100.0,
            clock_synced=True,
        )


def slot_status(
    *,
    module: str = "forest",
    version: int = 1,
    state: Any = "running",
    is_busy: bool = False,
    has_worker: bool = True,
    **health: Any,
) -> SlotStatus:
    worker = SlotHealth(module=module, version=version, digest=DIGEST, state=state, **health)
    return SlotStatus(
        state=ReportedSlot(
            module=module, phase=Phase.ACTIVE, running_version=version, wanted_version=version
        ),
        worker=worker if has_worker else None,
        is_busy=is_busy,
    )
