"""The zygote: a process that has numpy and onnxruntime loaded and forks workers on demand.

`python -m edge_agent.runtime.zygote FD`, started by the agent, FD being its end of a socket pair.
What is loaded before a fork is shared by all workers: a worker then costs milliseconds and a few
megabytes. A process with threads must not fork (a lock that another thread holds stays locked in
the child for ever), so this one has a single thread, checks that, and runs no model but a trivial
one.

It never does anything for a worker after the fork but wait for its end. When the agent is gone it
ends; the workers notice the same by themselves.
"""

import contextlib
import fcntl
import gc
import logging
import os
import random
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import msgspec

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
    launch_decoder,
)

_IDENTITY: Final = (
    b'\x08\x08:6\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x00Z\x0f\n\x01x\x12\n\n\x08\x08\x01\x12'
    b"\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""An ONNX file: y = x, one float. Loading it makes onnxruntime build its tables of operators, and
these are then shared, too."""

_TITLE_BYTES: Final = 15
_MORE_EXPENDABLE: Final = 300
_MAX_EXPENDABLE: Final = 1000
_MAX_TEXT: Final = 300


class Zygote:
    """Forks on request, tells of ends. Run by the main thread, which is the only one.

    Args:
        agent: connected to the agent; packets.
        work: what a child does; its result is the exit status.
    """

    def __init__(self, agent: socket.socket, work: Callable[[], int]) -> None:
        self._agent = agent
        self._work = work
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)

    def run(self) -> None:
        """Serve until the agent is gone."""
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        self._say(Usable())
        with selectors.DefaultSelector() as ready:
            ready.register(self._agent, selectors.EVENT_READ)
            ready.register(self._wake_read, selectors.EVENT_READ)
            while True:
                found = [key.fileobj for key, _ in ready.select()]
                if self._wake_read in found:
                    self._wake_read.recv(4096)
                    self._reap()
                if self._agent in found and not self._serve_one():
                    return

    def _serve_one(self) -> bool:
        """Take one request; returns whether there was one."""
        flags = socket.MSG_CMSG_CLOEXEC
        data, handles, _, _ = socket.recv_fds(self._agent, MAX_PACKET_BYTES, MAX_HANDLES, flags)
        if not data:
            return False
        try:
            self._launch(launch_decoder.decode(data), handles)
        finally:
            for handle in handles:
                os.close(handle)
        return True

    def _launch(self, request: Launch, handles: Sequence[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._say(NotLaunched(request.number, f"no other process can be started: {error}"))
            return
        if pid == 0:
            _become_worker(request.title, handles, self._work)
        try:
            # Nobody but this thread waits for children, so the number is still this child's.
            process = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            self._say(NotLaunched(request.number, f"this system has no pidfd: {error}"))
            return
        try:
            self._say(Launched(request.number, pid), [process])
        finally:
            os.close(process)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._say(Ended(pid, os.waitstatus_to_exitcode(status)))

    def _say(self, said: Said, handles: Sequence[int] = ()) -> None:
        tell(self._agent, said, handles)


def tell(agent: socket.socket, said: Said, handles: Sequence[int] = ()) -> None:
    """Send the agent one packet; one that is gone hears nothing, and that is all right."""
    try:
        socket.send_fds(agent, [encoder.encode(said)], handles)
    except (BrokenPipeError, ConnectionResetError):
        logging.getLogger("shoal.zygote").debug("event=agent_gone")


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    """Stands for SIGCHLD's default, with which no wake-up byte is written."""


def _become_worker(title: str, handles: Sequence[int], work: Callable[[], int]) -> NoReturn:
    """The child's whole life. Whatever happens, it never returns into the zygote's loop."""
    status = 1
    try:
        # 1. Nothing of the zygote stays: signals, open files, its place in the terminal.
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        take_over(handles)
        # 2. What must differ from one child to the next.
        random.seed()
        _set_title(title)
        _be_expendable()
        gc.enable()
        # 3. The work.
        status = work()
    except BaseException:  # noqa: BLE001 -- the end of this process, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: what the zygote would do at its end is none of the child's business.
        os._exit(status)


def take_over(handles: Sequence[int]) -> None:
    """Make the given descriptors 0, 1, 2 ... and close everything else."""
    # Above all targets first: one of them may itself be the number that another is to get.
    above = [fcntl.fcntl(handle, fcntl.F_DUPFD, MAX_HANDLES) for handle in handles]
    for target, handle in enumerate(above):
        os.dup2(handle, target)
    # By what is there: the limit may be a thousand million, and may have been higher before.
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) >= len(handles):
            with contextlib.suppress(OSError):  # that of the list itself
                os.close(int(entry.name))


def _set_title(title: str) -> None:
    with contextlib.suppress(OSError):  # a sandbox may forbid it, and it is only for people
        Path("/proc/self/comm").write_bytes(title.encode()[:_TITLE_BYTES])


def _be_expendable() -> None:
    """When the machine's memory is short, the kernel shall end a model, and not the agent."""
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        path.write_text(str(min(_MAX_EXPENDABLE, int(path.read_text()) + _MORE_EXPENDABLE)))


def _preload() -> Callable[[], int]:
    """Import what every worker needs; returns what a worker does."""
    # Imported where a name is first looked up, and so by every worker anew.
    import encodings.idna  # noqa: F401
    import ssl  # noqa: F401

    from edge_agent.runtime.session import ModelSession
    from edge_agent.runtime.worker import main as work

    ModelSession(_IDENTITY)
    return work


def main() -> int:
    """Load, then serve the agent at the descriptor given; returns the exit status."""
    agent = socket.socket(fileno=int(sys.argv[1]))
    # Ctrl-C in a terminal reaches the whole group; the agent decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    try:
        work = _preload()
    except Exception as error:  # noqa: BLE001 -- a broken library raises anything
        tell(agent, Broken(f"{type(error).__name__}: {error}"[:_MAX_TEXT]))
        return 1
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads != 1:
        tell(agent, Broken(f"importing it started {threads - 1} thread(s), so it cannot fork"))
        return 1
    _set_title("shoal-zygote")
    # The collector writes into every object that it looks at, and what is written is not shared.
    gc.collect()
    gc.freeze()
    try:
        Zygote(agent, work).run()
    except (ConnectionResetError, msgspec.DecodeError) as error:
        sys.stderr.write(f"the zygote lost its agent: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
