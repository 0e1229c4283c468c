"""What to do next about every slot: from what is wanted and what is seen to a tuple of steps.

Purely computational: no I/O, no clock, no randomness. The same arguments give the same plan, and a
plan for a slot that is where it should be is empty.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from edge_agent.contract.shadows import SHADOW_MISFIT, check_outputs, check_shadow
from edge_agent.contract.state import DesiredState, Phase, SlotError, WantedSlot
from edge_agent.errors import ContractError
from edge_agent.reconcile.locking import LockSeen, put_off
from edge_agent.reconcile.steps import (
    Begin,
    Commit,
    Fetch,
    Install,
    Prove,
    Reject,
    Remove,
    RollBack,
    Run,
    Settle,
    Step,
    Stop,
    Switch,
)
from edge_agent.reconcile.trial import Outcome, TrialRun, judge, too_often_interrupted
from edge_agent.store.slots import FINAL_FAILURES, Installed, SlotRecord

FIRST_TRIAL_S: Final = 2.0
"""Longest trial of a slot's first version: there is nothing to go back to, so it is watched only
long enough to see that it stays up."""


NO_LOCKS: Final[Mapping[str, LockSeen]] = MappingProxyType({})


class SlotSeen(Struct, frozen=True, kw_only=True):
    """A slot as it is found.

    Attributes:
        record: what the journal says.
        running: the version that a worker was started for, whatever state that worker is in.
        trial: what the running version has done since it was told to answer; None if nothing runs.
        is_retry_due: whether enough time has passed since the last failure.
        is_damaged: the running version's worker says that its files are not what they were.
        outputs: names of what the record's target computes; None while its manifest is not here.
    """

    record: SlotRecord
    running: Installed | None = None
    trial: TrialRun | None = None
    is_retry_due: bool = True
    is_damaged: bool = False
    outputs: tuple[str, ...] | None = None


def wanted_version(wanted: WantedSlot) -> Installed:
    """What a wanted slot asks to be installed."""
    return Installed(
        module=wanted.module,
        version=wanted.version,
        digest=wanted.digest,
        config=wanted.config,
        shadows=wanted.shadows if wanted.mode == "shadow" else "",
    )


def plan(
    desired: DesiredState | None,
    seen: Mapping[str, SlotSeen],
    locks: Mapping[str, LockSeen] = NO_LOCKS,
) -> dict[str, tuple[Step, ...]]:
    """The steps of every slot that needs any, by slot; slots do not wait for one another.

    Args:
        desired: what should run; None before anything was ever wanted, which leaves all as it is.
        seen: every slot that is in the journal or has a worker.
        locks: of the slots whose updates are put off.
    """
    wanted = desired.slots if desired is not None else {}
    names = sorted({*wanted, *seen})
    plans = {}
    for name in names:
        found = seen.get(name) or SlotSeen(record=SlotRecord(slot=name))
        steps = (
            keep_running(found)
            if desired is None
            else plan_slot(wanted.get(name), found, shadow_error(name, wanted, seen))
        )
        if name in locks:
            steps = put_off(steps, found.record, locks[name])
        if steps:
            plans[name] = steps
    spread_s = desired.settings.fetch_spread_s if desired is not None else 0.0
    return {name: _spread(steps, spread_s) for name, steps in plans.items()}


def plan_slot(
    wanted: WantedSlot | None, seen: SlotSeen, misfit: SlotError | None = None
) -> tuple[Step, ...]:
    """The steps of one slot.

    Args:
        wanted: what should run in it; None if nothing should.
        seen: the slot as it is found.
        misfit: why what is wanted cannot be a shadow among the other slots; None if it can.
    """
    record = seen.record
    if wanted is None:
        is_gone = record == SlotRecord(slot=record.slot) and seen.running is None
        return () if is_gone else (Remove(record.slot),)
    target = wanted_version(wanted)
    if _is_stray(seen):
        return (RollBack(record.slot, None),)
    if record.target == target and record.phase in FINAL_FAILURES and not _fits_now(record, misfit):
        return keep_running(seen)
    if misfit is not None and record.active != target:
        return (Reject(record.slot, target, misfit), *keep_running(seen))
    if record.target == target and record.phase is not Phase.ACTIVE:
        interrupted = too_often_interrupted(record.interruptions)
        if interrupted is not None:
            return _give_up(seen, target, interrupted)
    if record.candidate == target and record.target == target and record.phase is Phase.TRIAL:
        return _on_trial(seen, target)
    if record.active == target and not seen.is_damaged:
        return _wanted_again(seen, target)
    if record.target == target and not seen.is_retry_due:
        return keep_running(seen)
    if target.shadows and (record.target != target or seen.outputs is None):
        # Whether it can be compared stands in its manifest: fetched first, and judged then.
        return (*keep_running(seen), Begin(record.slot, target), Fetch(record.slot, target))
    return (*keep_running(seen), *_bring(record.slot, target))


def _spread(steps: tuple[Step, ...], spread_s: float) -> tuple[Step, ...]:
    """The same steps, with what begins among them spread over the devices that were told so."""
    return tuple(
        replace(step, spread_s=spread_s) if isinstance(step, Begin) else step for step in steps
    )


def keep_running(seen: SlotSeen) -> tuple[Step, ...]:
    """Start what should answer messages now, if no worker was; end what should not."""
    serving = seen.record.serving
    if seen.running == serving:
        return ()
    if serving is None:
        return (Stop(seen.record.slot),)
    return (Run(seen.record.slot, serving),)


def _bring(slot: str, target: Installed) -> tuple[Step, ...]:
    """The whole way, whatever was done of it before: each step is quick when there is nothing."""
    return (
        Begin(slot, target),
        Fetch(slot, target),
        Install(slot, target),
        Prove(slot, target),
        Switch(slot, target),
    )


def _is_stray(seen: SlotSeen) -> bool:
    """Whether a candidate has to go that nobody waits for any more: what was wanted instead was
    refused for good, or it has proved bad meanwhile.
    """
    record = seen.record
    if record.active is None or record.candidate in (None, record.target):
        return False
    is_bad = seen.running == record.candidate and isinstance(
        judge(seen.trial or TrialRun(), record.trial), SlotError
    )
    return is_bad or record.phase in FINAL_FAILURES


def _give_up(seen: SlotSeen, target: Installed, error: SlotError) -> tuple[Step, ...]:
    """Never start a version again; what was committed before it runs, if there is such a thing."""
    record = seen.record
    if record.active is not None:
        return (RollBack(record.slot, error),)
    if record.candidate == target:
        return (RollBack(record.slot, None), Reject(record.slot, target, error))
    return (Reject(record.slot, target, error), *keep_running(seen))


def _on_trial(seen: SlotSeen, candidate: Installed) -> tuple[Step, ...]:
    slot = seen.record.slot
    starting = keep_running(seen)
    if starting:
        return starting
    rule = seen.record.trial
    if seen.record.active is None:
        rule = replace(rule, seconds=min(rule.seconds, FIRST_TRIAL_S))
    verdict = judge(seen.trial or TrialRun(), rule)
    if isinstance(verdict, SlotError):
        return (RollBack(slot, verdict),)
    return (Commit(slot, candidate),) if verdict is Outcome.PASSED else ()


def _wanted_again(seen: SlotSeen, active: Installed) -> tuple[Step, ...]:
    record = seen.record
    if record.candidate is not None:
        return (RollBack(record.slot, None), Settle(record.slot, active))
    if record.target != active or record.phase is not Phase.ACTIVE:
        return (Settle(record.slot, active), *keep_running(seen))
    return keep_running(seen)


def shadow_error(
    slot: str, slots: Mapping[str, WantedSlot], seen: Mapping[str, SlotSeen]
) -> SlotError | None:
    """Why a wanted slot cannot be a shadow among the others; None if it can, or is none.

    What is not known yet, because a manifest is not here, is no reason.
    """
    if slot not in slots:
        return None
    wanted = slots[slot]
    try:
        check_shadow(slot, slots)
        if wanted.mode == "shadow":
            own = _outputs(wanted, seen.get(slot))
            live = _outputs(slots[wanted.shadows], seen.get(wanted.shadows))
            if own is not None and live is not None:
                check_outputs(slot, own, wanted.shadows, live)
    except ContractError as error:
        return SlotError(code=error.code, text=str(error), step="plan")
    return None


def _outputs(wanted: WantedSlot, seen: SlotSeen | None) -> tuple[str, ...] | None:
    """Names of what a wanted version computes; None if that is not known here."""
    target = seen.record.target if seen is not None else None
    if seen is None or target is None or target.digest != wanted.digest:
        return None
    return seen.outputs


def _fits_now(record: SlotRecord, misfit: SlotError | None) -> bool:
    """Whether a shadow was refused because of the other slots, and they are as it needs them."""
    was_misfit = record.error is not None and record.error.code == SHADOW_MISFIT
    return was_misfit and misfit is None


def is_settled(wanted: WantedSlot | None, record: SlotRecord) -> bool:
    """Whether a slot has arrived: exactly what is wanted is active, and nothing is on trial."""
    if wanted is None:
        return record == SlotRecord(slot=record.slot)
    target = wanted_version(wanted)
    return record.active == target and record.candidate is None and record.phase is Phase.ACTIVE
