"""How a worker process ends when it ends by itself. Values only."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the exit status of a worker means; any other is a crash of a library or a defect."""

    OK = 0
    """Proved, or stopped as asked."""

    FAILED = 1
    """A `WorkerFailed` line says why."""

    BAD_SPEC = 2
    """The first line was no `WorkerSpec`."""
