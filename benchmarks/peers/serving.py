"""The peers' servers with one model each, started and ended."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from benchmarks.peers.environment import make

HERE: Final = Path(__file__).parent
READY_S: Final = 90.0
STOP_S: Final = 20.0


class Peer(Struct, frozen=True):
    """A server that answers.

    Attributes:
        pid: of its first process; the others are its children.
        path: to ask its model.
    """

    pid: int
    port: int
    path: str


def servers(folder: Path, model: Path) -> dict[str, Callable[[], AbstractContextManager[Peer]]]:
    """How to start each.

    Args:
        folder: for their files and logs.
        model: ONNX file.
    """
    return {"kserve": lambda: _kserve(folder, model), "mlserver": lambda: _mlserver(folder, model)}


@contextmanager
def _kserve(folder: Path, model: Path) -> Iterator[Peer]:
    port = _free_port()
    command = [str(make("kserve")), str(HERE / "kserve_server.py"), str(model), str(port)]
    with _running("kserve", command, folder, folder) as pid:
        yield _await("kserve", pid, port, "shuttle")


@contextmanager
def _mlserver(folder: Path, model: Path) -> Iterator[Peer]:
    port = _free_port()
    place = folder / "mlserver"
    place.mkdir()
    shutil.copy(HERE / "mlserver_runtime.py", place)
    # Its workers need an older uvloop; without them it answers in its one process.
    settings = {
        "parallel_workers": 0,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": _free_port(),
        "metrics_port": _free_port(),
    }
    (place / "settings.json").write_text(json.dumps(settings))
    described = {
        "name": "shuttle",
        "implementation": "mlserver_runtime.OnnxModel",
        "parameters": {"uri": str(model)},
    }
    (place / "model-settings.json").write_text(json.dumps(described))
    command = [str(make("mlserver").parent / "mlserver"), "start", "."]
    with _running("mlserver", command, place, folder) as pid:
        yield _await("mlserver", pid, port, "shuttle")


@contextmanager
def _running(name: str, command: list[str], cwd: Path, logs: Path) -> Iterator[int]:
    with (logs / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(cwd)},
        )
    try:
        yield process.pid
    except Exception as error:
        error.add_note((logs / f"{name}.log").read_text(errors="replace")[-3000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_S)


def _await(name: str, pid: int, port: int, model: str) -> Peer:
    deadline = time.monotonic() + READY_S
    url = f"http://127.0.0.1:{port}/v2/models/{model}/ready"
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # our own address
                if answer.status == 200:
                    return Peer(pid, port, f"/v2/models/{model}/infer")
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise RuntimeError(f"{name} is not ready after {READY_S:g} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
