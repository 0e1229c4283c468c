"""How a worker's process is doing, gathered between two looks at it, for `fitness` to judge.

Owns the page in which the process notes what it runs. Reads no clock and decides nothing; used
under the lock of the worker that it belongs to.
"""

import os
from collections.abc import Mapping
from typing import Final

from edge_agent.contract.messages import ShadowHealth, SlotHealth
from edge_agent.contract.state import SlotError
from edge_agent.reconcile.fitness import LONGEST_TICK_S, Signs
from edge_agent.runtime.process import crash
from edge_agent.runtime.run_mark import RunMark, make_run_mark
from edge_agent.store.slots import Installed

MODEL_ERRORS: Final = frozenset(
    {"model_failed", "out_of_memory", "internal", "run_timeout", "poison"}
)
"""Codes of messages that failed in the model itself; every other code is about the input.

`run_timeout` is a run that was ended at `runtime.run_timeout_ms`: whatever the message was, the
model on this machine had no answer in the time that its module gives it. `poison` is a message that
is refused because process after process ended in its run."""


class Vitals:
    """The condition of one worker, over all its processes.

    Attributes:
        page: descriptor of the page, for the next process.
        model_error: what the model fails with most often, as `code: text`; empty if it does not.

    Raises:
        OSError: no memory, or no descriptor left.
    """

    def __init__(self) -> None:
        self.page = make_run_mark()
        self._mark = RunMark(self.page)
        self._cures = 0
        self._looked: float | None = None
        self._began = 0.0
        self._silent_s = 0.0
        self._cut_off_s = 0.0
        self._failing_s: float | None = None
        self.model_error = ""
        self._answered = 0
        self._errors = 0

    @property
    def runs(self) -> int:
        """Runs that came to an end in the process that was started last."""
        return self._mark.running().ended

    def begin(self, now: float) -> None:
        """Another process starts.

        Args:
            now: seconds, monotonic.
        """
        self._mark.forget_runs()
        self._looked = None
        self._began = now
        self._silent_s = self._cut_off_s = 0.0
        self._failing_s = None
        self._answered = self._errors = 0
        self.model_error = ""

    def heard(self) -> None:
        """The process said something."""
        self._silent_s = 0.0

    def count(self, health: SlotHealth, failures: Mapping[str, str]) -> None:
        """The process said what it has done so far.

        Args:
            health: its counters.
            failures: error code to the text of the last such failure.
        """
        errors = model_errors(health)
        self.model_error = _model_error(health, failures)
        if health.messages_out > self._answered:
            self._failing_s = None
            self._cures = 0
        elif errors > self._errors and self._failing_s is None:
            self._failing_s = 0.0
        self._answered, self._errors = health.messages_out, errors

    def restarted_as_a_cure(self) -> None:
        """The process was ended for something that a restart may not help against."""
        self._cures += 1

    def look(
        self, now: float, *, is_loading: bool, is_connected: bool, is_broker_there: bool
    ) -> Signs:
        """What there is to see now.

        Args:
            now: seconds, monotonic.
            is_loading: whether the process is not ready yet.
            is_connected: whether it answers messages.
            is_broker_there: whether any worker is connected.
        """
        elapsed_s = 0.0 if self._looked is None else min(now - self._looked, LONGEST_TICK_S)
        self._looked = now
        self._silent_s += elapsed_s
        is_cut_off = is_broker_there and not is_connected and not is_loading
        self._cut_off_s = self._cut_off_s + elapsed_s if is_cut_off else 0.0
        if self._failing_s is not None:
            self._failing_s += elapsed_s
        running = self._mark.running()
        return Signs(
            loading_s=now - self._began if is_loading else None,
            silent_s=self._silent_s,
            run_s=None if running.since is None else now - running.since,
            run_limit_s=running.limit_s,
            cut_off_s=self._cut_off_s if is_cut_off else None,
            failing_s=self._failing_s,
            cures=self._cures,
        )

    def close(self) -> None:
        """Let go of the page; no process will be started any more."""
        if self.page >= 0:
            self._mark.close()
            os.close(self.page)
            self.page = -1


def model_errors(health: SlotHealth) -> int:
    """Messages that failed in the model itself; bad input is counted by other codes."""
    return sum(count for code, count in health.failed.items() if code in MODEL_ERRORS)


def _model_error(health: SlotHealth, failures: Mapping[str, str]) -> str:
    counts = {code: count for code, count in health.failed.items() if code in MODEL_ERRORS}
    if not counts:
        return ""
    code = max(counts, key=lambda code: counts[code])
    text = " ".join(failures.get(code, "").split())  # onnxruntime's has line ends
    return f"{code}: {text}" if text else code


def no_figures(version: Installed) -> SlotHealth:
    """What is reported of a worker whose process has told nothing yet."""
    return SlotHealth(
        module=version.module,
        version=version.version,
        digest=version.digest,
        state="starting",
        shadow=ShadowHealth(of=version.shadows) if version.shadows else None,
    )


def ended(code: int) -> SlotError:
    """Why a process ended that has not said it.

    Args:
        code: as of `subprocess`.
    """
    error = crash(code)
    return SlotError(code=error.code, text=error.text, step="run")


def since(start: float | None, now: float) -> float | None:
    """Seconds that have passed, or None for what has not begun."""
    return None if start is None else now - start
