"""One zygote process, seen from the agent: start it, ask it for workers, hear of their ends."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec

from edge_agent.errors import StorageError, Unavailable
from edge_agent.runtime.child import Child
from edge_agent.runtime.launch import (
    MAX_HANDLES,
    MAX_PACKET_BYTES,
    Broken,
    Ended,
    Launch,
    Launched,
    NotLaunched,
    Said,
    Usable,
    encoder,
    said_decoder,
)

USABLE_S: Final = 60.0
"""Longest time that the imports of a zygote may take."""
LAUNCH_S: Final = 10.0
"""Longest time that a fork may take."""

_CLOSE_S: Final = 2.0
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy would start threads when it is imported; a process with threads must not fork."""
_HINT: Final = "install a build of onnxruntime that is made for this processor and system"
_log = logging.getLogger("shoal.launcher")


class ZygoteProcess:
    """A zygote and the thread that listens to it.

    Args:
        on_gone: called once, from that thread, when it has ended.

    Raises:
        StorageError: it cannot be started.
    """

    def __init__(self, on_gone: Callable[["ZygoteProcess"], None]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._changed = threading.Condition()
        self._on_gone = on_gone
        self._state: Literal["starting", "usable", "broken", "gone"] = "starting"
        self._why = ""
        self._number = 0
        self._answers: dict[int, Child | str] = {}
        self._children: dict[int, Child] = {}
        try:
            self._process = subprocess.Popen(
                # -P: never import a module that happens to lie in the working directory.
                [
                    *(sys.executable, "-P", "-m", "edge_agent.runtime.zygote"),
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **_ONE_THREAD},
                # A group of its own: what the terminal or the agent's group is sent is not for it.
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise StorageError(
                f"a worker process cannot be started: {error}",
                code="spawn_failed",
                hint="free memory, processes or file descriptors of the machine",
            ) from error
        finally:
            theirs.close()
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._listen, name="zygote", daemon=True)
        self._reader.start()

    @property
    def is_alive(self) -> bool:
        """Whether it may still answer."""
        return self._state in ("starting", "usable")

    @property
    def was_usable(self) -> bool:
        """Whether it has ended, and was of use before."""
        return self._state == "gone"

    def await_usable(self, deadline: float) -> None:
        """Wait until it can fork.

        Args:
            deadline: seconds, monotonic.

        Raises:
            Unavailable: `runtime_broken`.
        """
        with self._changed:
            while self._state == "starting" and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._state == "starting":
                why = f"onnxruntime expected to load within {USABLE_S:g} s, did not"
                raise broken(why)
            if self._state == "broken":
                why = f"onnxruntime cannot be loaded on this machine: {self._why}"
                raise broken(why)

    def launch(self, title: str, handles: Sequence[int], deadline: float) -> Child:
        """Have it start a process. See `Launcher.launch`."""
        with self._changed:
            self._number = number = self._number + 1
            request = encoder.encode(Launch(number, title))
            try:
                socket.send_fds(self._socket, [request], handles)
            except OSError as error:
                raise _lost(error) from error
            while number not in self._answers and self._state == "usable":
                left = deadline - time.monotonic()
                if left <= 0:
                    self.kill()
                    raise Unavailable(
                        f"a worker expected to start within {LAUNCH_S:g} s, did not",
                        code="launch_timeout",
                        hint="nothing, once: it is tried again; see what else keeps the "
                        "machine busy if it comes back",
                    )
                self._changed.wait(left)
            answer = self._answers.pop(number, None)
        if answer is None:
            raise _lost("it ended")
        if isinstance(answer, str):
            raise StorageError(
                answer,
                code="spawn_failed",
                hint="free memory, processes or file descriptors of the machine",
            )
        return answer

    def kill(self) -> None:
        """End it at once; the workers live on."""
        self._process.kill()

    def close(self) -> None:
        """End it politely, and for sure."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(_CLOSE_S)
        if self._reader.is_alive():
            self.kill()
            self._reader.join(_CLOSE_S)

    def _listen(self) -> None:
        """The thread: take every packet until there are no more, then see how it ended."""
        with self._socket:
            while True:
                try:
                    data, handles, _, _ = socket.recv_fds(
                        self._socket, MAX_PACKET_BYTES, MAX_HANDLES, socket.MSG_CMSG_CLOEXEC
                    )
                except OSError:
                    break
                if not data:
                    break
                self._take(data, handles)
        try:
            returncode = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            returncode = self._process.wait()
        with self._changed:
            if self._state == "starting":
                self._state = "broken"
                self._why = _how(returncode)
            elif self._state == "usable":
                self._state = "gone"
            for child in self._children.values():
                child.orphaned()
            self._children.clear()
            self._changed.notify_all()
        self._on_gone(self)

    def _take(self, data: bytes, handles: list[int]) -> None:
        try:
            said = said_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("event=zygote_unreadable reason=%s", error)
            return
        with self._changed:
            self._note(said, handles)
            self._changed.notify_all()

    def _note(self, said: Said, handles: list[int]) -> None:
        match said:
            case Usable():
                self._state = "usable"
            case Broken(text=text):
                self._state, self._why = "broken", text
            case Launched(number=number, pid=pid):
                child = Child(pid, handles[0])
                self._children[pid] = self._answers[number] = child
            case NotLaunched(number=number, text=text):
                self._answers[number] = text
            case Ended(pid=pid, returncode=returncode):
                ended = self._children.pop(pid, None)
                if ended is not None:
                    ended.told(returncode)


def broken(why: str) -> Unavailable:
    """The error for a machine on which onnxruntime cannot be loaded. It may be repaired."""
    return Unavailable(why, code="runtime_broken", hint=_HINT)


def _lost(why: object) -> Unavailable:
    return Unavailable(
        f"the process that starts workers is gone: {why}",
        code="launch_failed",
        hint="nothing, once: another one is started; look at the agent's log if it comes back",
    )


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"the import ended with status {returncode}"
    try:
        return f"the import ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"the import ended by signal {-returncode}"
