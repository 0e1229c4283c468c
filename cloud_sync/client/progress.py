"""How far a transfer is: what the SDK tells whoever wants to draw a progress bar.

Values only; it never draws and never prints.
"""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

Step = Literal["hash", "upload", "download"]


class Transfer(Struct, frozen=True, kw_only=True):
    """One report about one file. The last one of a file has `done == total`.

    Attributes:
        step: what is being done with the file.
        what: the file, as a person knows it.
        done: bytes that are through.
        total: bytes of the whole file.
    """

    step: Step
    what: str
    done: int
    total: int


Progress = Callable[[Transfer], None]
"""Called in the caller's own thread, at most once for each chunk; it must be quick."""


def ignore(_: Transfer) -> None:
    """For callers that do not want to know."""
