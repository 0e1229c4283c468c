"""What is wrong with a worker that has not ended, and what is done about it. Pure.

Unhealthy is acted on: a process that cannot be trusted to answer is ended, and started again by
the rule of `restart`. What only looks unhealthy is left alone: a broker that nobody reaches is not
the worker's fault, and bad input is not the model's.

| what is seen | for how long | error |
|---|---|---|
| it is loading | `LOAD_S` | `load_timeout` |
| nothing is heard of it | `SILENT_S` | `worker_hung` |
| it is in one and the same run | the module's limit and `GRACE_S` | `worker_hung` |
| its broker is away, and other slots have it | `ALONE_S`, doubling | `worker_cut_off` |
| every message fails in the model, none is answered | `FAILING_S`, doubling | `worker_failing` |
"""

from typing import Final

from msgspec import Struct

from edge_agent.contract.state import SlotError

LOAD_S: Final = 120.0
SILENT_S: Final = 15.0
"""Its counters come every second, from a thread that does nothing else."""
GRACE_S: Final = 4.0
"""On top of a run's limit: the worker itself ends a run that is late, and notices it a second and
two later."""
ALONE_S: Final = 120.0
FAILING_S: Final = 60.0
LONGEST_TICK_S: Final = 2.0
"""Of the time between two looks at a worker no more than this counts against it. An agent that was
suspended, or had no processor, has not heard of anyone for long."""

CURES: Final = frozenset({"worker_cut_off", "worker_failing"})
"""A restart may not help against these; each one that did not doubles the patience."""

_MOST_DOUBLINGS: Final = 6


class Signs(Struct, frozen=True, kw_only=True):
    """A worker as it is seen from outside; times in seconds.

    Attributes:
        loading_s: since its start; None once it is ready.
        silent_s: since anything was heard of it.
        run_s: since the run that is going on began; None if none is.
        run_limit_s: how long a run may take; 0 if that is not known yet.
        cut_off_s: since it lost its broker while another slot had it; None if it has it, or if
            nobody has.
        failing_s: since every message failed in the model; None if any was answered.
        cures: how often it was restarted for the last two before, and it did not help.
    """

    loading_s: float | None = None
    silent_s: float = 0.0
    run_s: float | None = None
    run_limit_s: float = 0.0
    cut_off_s: float | None = None
    failing_s: float | None = None
    cures: int = 0


def complaint(signs: Signs) -> SlotError | None:
    """Why a worker's process must be ended, or None if it may go on."""
    if signs.loading_s is not None:
        if signs.loading_s > LOAD_S:
            return _error("load_timeout", f"the model expected to load within {LOAD_S:g} s")
        return None
    if signs.run_s is not None and signs.run_limit_s > 0:
        allowed_s = signs.run_limit_s + GRACE_S
        if signs.run_s > allowed_s:
            return _error(
                "worker_hung",
                f"a run expected to end within {signs.run_limit_s:g} s goes on for "
                f"{signs.run_s:.0f} s, and cannot be ended",
            )
    if signs.silent_s > SILENT_S:
        return _error("worker_hung", f"nothing was heard of the process for {signs.silent_s:.0f} s")
    patience = 2.0 ** min(signs.cures, _MOST_DOUBLINGS)
    if signs.cut_off_s is not None and signs.cut_off_s > ALONE_S * patience:
        return _error(
            "worker_cut_off",
            f"its broker is away for {signs.cut_off_s:.0f} s, and other slots are connected to it",
        )
    if signs.failing_s is not None and signs.failing_s > FAILING_S * patience:
        return _error(
            "worker_failing", f"every message failed in the model for {signs.failing_s:.0f} s"
        )
    return None


def _error(code: str, text: str) -> SlotError:
    return SlotError(code=code, text=text, step="run")
