"""How a run of the agent ends: by a signal, or because one of its threads died of a defect.

Knows why and with which exit status; closing things is not done here.
"""

import signal
import threading
from types import FrameType
from typing import Final

from edge_agent.daemon.logs import log_thread_failure

INTERNAL_ERROR: Final = 70


class Ending:
    """One for each process. `listen` is called by the main thread.

    Attributes:
        reason: why the run ends, for people.
        exit_code: the exit status of the program.
    """

    def __init__(self) -> None:
        self._is_near = threading.Event()
        self.reason = "stopped"
        self.exit_code = 0

    def listen(self) -> None:
        """Take signals, and the exceptions that end threads."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        threading.excepthook = self._on_thread_failure

    def wait(self, seconds: float) -> bool:
        """Wait for the end, so long at most; returns whether it has come."""
        return self._is_near.wait(seconds)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.reason = signal.Signals(number).name
        self._is_near.set()

    def _on_thread_failure(self, failure: threading.ExceptHookArgs) -> None:
        """An agent that is half there is worse than one that is started again."""
        log_thread_failure(failure)
        self.reason = "internal error"
        self.exit_code = INTERNAL_ERROR
        self._is_near.set()
