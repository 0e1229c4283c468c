"""The open files that a worker process is born with, besides its two pipes. Values only."""

from typing import Final

from msgspec import Struct

RUN_MARK_FD: Final = 3
"""Where the page of `run_mark` is in every worker."""

STATE_FD: Final = 4
"""Where the memory of windows and states is, in a worker whose spec says `has_state`."""


class Handles(Struct, frozen=True):
    """File descriptors, by what they are for.

    Attributes:
        run_mark: shared with the agent: what is being run, and since when.
        state: shared with the agent, which keeps it over the worker's end: windows and states;
            None if the module has none.
    """

    run_mark: int
    state: int | None = None
