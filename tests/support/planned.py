"""What is wanted and seen of a slot, for tests of planning."""

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import Phase, SlotError, WantedSlot
from edge_agent.reconcile.plan import (
    wanted_version,
)
from edge_agent.reconcile.steps import (
    Begin,
    Fetch,
    Install,
    Prove,
    Switch,
)
from edge_agent.reconcile.trial import TrialRun
from edge_agent.store.slots import Installed, SlotRecord


def want(version: int = 1, **options) -> WantedSlot:
    return WantedSlot(module="m", version=version, digest=f"sha256:{version:064x}", **options)


def version_of(number: int) -> Installed:
    return wanted_version(want(number))


ONE, TWO, THREE = version_of(1), version_of(2), version_of(3)
ERROR = SlotError(code="x", text="x")
BRING_TWO = (Begin("s", TWO), Fetch("s", TWO), Install("s", TWO), Prove("s", TWO), Switch("s", TWO))


def record(**options) -> SlotRecord:
    return SlotRecord(slot="s", **options)


def active(version: Installed = ONE) -> SlotRecord:
    return record(phase=Phase.ACTIVE, target=version, active=version)


def on_trial(**options) -> SlotRecord:
    return record(
        phase=Phase.TRIAL, target=TWO, candidate=TWO, active=ONE,
        trial=Trial(seconds=10, messages=100, max_error_rate=0.1), **options,
    )  # fmt: skip


def answering(seconds: float, **options) -> TrialRun:
    """A run whose worker has been connected for so long."""
    return TrialRun(running_s=seconds, connected_s=seconds, **options)
