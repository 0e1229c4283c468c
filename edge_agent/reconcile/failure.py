"""What becomes of a slot whose step failed: tried again, never again, or the old version goes on.

Pure; `apply` writes what this returns to the journal.
"""

from edge_agent.contract.state import SlotError
from edge_agent.errors import ContractError, ShoalError, Unsupported
from edge_agent.reconcile import transition
from edge_agent.reconcile.workers import WorkerRefused
from edge_agent.store.slots import Installed, SlotRecord


def after_failure(
    record: SlotRecord,
    target: Installed,
    error: ShoalError,
    reason: SlotError,
    *,
    wait_s: float,
    now: float,
) -> SlotRecord:
    """The record after a step failed.

    Args:
        record: before.
        target: that the step was about.
        error: what the step raised.
        reason: the same, as it is journalled.
        wait_s: until the next attempt, if there is one.
        now: seconds since 1970.
    """
    if record.target != target:
        record = transition.begun(record, target, now)
    if isinstance(error, WorkerRefused) and not error.is_retryable:
        if record.serving is None:
            return transition.rejected(record, target, reason, now)
        if record.serving != target:
            return transition.rolled_back(record, reason, now)
    if isinstance(error, Unsupported | ContractError):
        return transition.rejected(record, target, reason, now)
    return transition.failed(record, reason, now + wait_s, now)
