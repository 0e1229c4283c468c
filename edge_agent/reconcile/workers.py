"""What `apply` asks of whoever runs the workers. The daemon's supervisor implements it."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from edge_agent.errors import ShoalError
from edge_agent.reconcile.trial import TrialRun
from edge_agent.runtime.protocol import WorkerSpec, WorkerTrialPassed
from edge_agent.store.slots import Installed


class WorkerRefused(ShoalError):
    """A worker said that it cannot do its job, and ended.

    Attributes:
        is_retryable: whether trying again can help.
    """

    default_code = "worker_failed"

    def __init__(self, text: str, *, code: str, is_retryable: bool) -> None:
        super().__init__(text, code=code)
        self.is_retryable = is_retryable


class WorkerSeen(Struct, frozen=True, kw_only=True):
    """The worker of a slot, as the supervisor knows it.

    Attributes:
        version: what it was started for.
        trial: what its process has done since it was told to answer.
        is_damaged: it said that its files are not what they were.
    """

    version: Installed
    trial: TrialRun
    is_damaged: bool = False


class Workers(Protocol):
    """The workers of all slots. Every method is bounded in time and may be called by any thread."""

    def seen(self) -> dict[str, WorkerSeen]:
        """Every slot for which a worker was started."""
        ...

    def run(self, slot: str, version: Installed, spec: WorkerSpec) -> None:
        """Start a worker and keep one running; whatever ran in the slot is stopped first."""
        ...

    def prove(self, spec: WorkerSpec, is_superseded: Callable[[], bool]) -> WorkerTrialPassed:
        """Run the golden cases.

        Raises:
            WorkerRefused: they did not pass, or the process could not do it.
            Superseded: `is_superseded` said so.
        """
        ...

    def prepare(
        self, slot: str, version: Installed, spec: WorkerSpec, is_superseded: Callable[[], bool]
    ) -> None:
        """Load a version beside the running one, without connecting it.

        Raises:
            WorkerRefused: it did not load.
            Superseded: `is_superseded` said so; it is gone again.
        """
        ...

    def hand_over(self, slot: str) -> None:
        """Let the running version finish and leave, then connect the prepared one.

        Raises:
            WorkerRefused: the prepared one is not there any more.
        """
        ...

    def stop(self, slot: str) -> None:
        """Let the slot's workers finish, and end them."""
        ...
