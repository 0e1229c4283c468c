"""The name of a fail point: which call, on what kind of file, from where in the agent."""

import re
from collections.abc import Iterator
from types import FrameType
from typing import Final

from msgspec import Struct

_PACKAGE: Final = "edge_agent."
_DATABASE: Final = "edge_agent.store.database"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TEMPORARY: Final = re.compile(r"\.[0-9a-f]{8}\.tmp$")
_MOMENT: Final = re.compile(r"\d{8}T\d{6}Z")


class FailPoint(Struct, frozen=True, order=True):
    """A place where a process can die, or a disk refuse.

    Attributes:
        call: of the C library.
        file: relative to the state directory; what differs from run to run is a star.
        function: of the agent that made it, without the database's own.
        during: what the story was doing.
    """

    call: str
    file: str
    function: str
    during: str

    def __str__(self) -> str:
        return f"{self.during}: {self.function}: {self.call} {self.file}"


def file_kind(path: str) -> str:
    """A path with what differs from run to run left out."""
    return _MOMENT.sub("*", _TEMPORARY.sub(".*.tmp", _DIGEST.sub("*", path)))


def agent_functions(frame: FrameType | None) -> Iterator[str]:
    """The agent's functions on a stack, the innermost first, as `store.blobs.BlobStore.put`."""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_PACKAGE):
            yield f"{module}.{frame.f_code.co_qualname}".removeprefix(_PACKAGE)
        frame = frame.f_back


def named(call: str, path: str, functions: list[str], during: str) -> FailPoint:
    """The fail point of a call.

    Args:
        call: of the C library.
        path: relative to the state directory.
        functions: of the agent on the stack, the innermost first.
        during: what the story was doing.
    """
    database = _DATABASE.removeprefix(_PACKAGE)
    outside = [name for name in functions if not name.startswith(database)]
    function = next(iter(outside or functions), "")
    return FailPoint(call, file_kind(path), function, during)
