"""How a slot's record changes: one function a change, each checked against the transition table.

Pure. `apply` writes what these return to the journal; nothing else makes a record.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import UPDATE_LOCKED, Phase, SlotError, check_transition
from edge_agent.reconcile.trial import MOST_INTERRUPTIONS
from edge_agent.store.slots import Installed, SlotRecord

STRAY: Final = "stray"
"""Counts ends of the agent while an uncommitted version ran that was not wanted any more."""

_STEPS: Final[Mapping[Phase, str]] = {
    Phase.FETCHING: "fetch",
    Phase.VERIFIED: "install",
    Phase.INSTALLED: "prove",
    Phase.TRIAL: "prove",
}
"""What is done next in a phase. A trial goes on with `switch` and `trial`."""


def _move(record: SlotRecord, phase: Phase, now: float, *, step: str | None = None) -> SlotRecord:
    check_transition(record.phase, phase)
    kept = {version.digest for version in record.installed}
    return replace(
        record,
        phase=phase,
        step=_STEPS.get(phase, "") if step is None else step,
        since=now if phase != record.phase else record.since,
        blobs={digest: files for digest, files in record.blobs.items() if digest in kept},
    )


def begun(
    record: SlotRecord, target: Installed, now: float, *, due: float | None = None
) -> SlotRecord:
    """Work on `target` begins, or will when it is `due` (seconds since 1970).

    Attempts are counted on only if it was the target before.
    """
    if record.target != target:
        record = replace(
            record, target=target, attempts=0, error=None, interruptions={}, put_off_since=None
        )
    elif record.is_put_off:
        record = replace(record, error=None)
    step = None if due is None else ""  # who waits for its turn does nothing yet
    return _move(replace(record, next_retry=due), Phase.FETCHING, now, step=step)


def put_off(
    record: SlotRecord, target: Installed, until: float, reason: str, now: float
) -> SlotRecord:
    """`target` is not begun before `until` (seconds since 1970), because of a lock."""
    record = begun(record, target, now, due=until)
    told = f": {reason}" if reason else ""
    error = SlotError(
        code=UPDATE_LOCKED, text=f"a program on this device asked for no update now{told}"
    )
    since = now if record.put_off_since is None else record.put_off_since
    return replace(record, error=error, put_off_since=since)


def listed(record: SlotRecord, files: tuple[str, ...]) -> SlotRecord:
    """The target's manifest is here, and these are the digests of its files."""
    if record.target is None:
        return record
    return replace(record, blobs={**record.blobs, record.target.digest: files})


def arrived(record: SlotRecord, phase: Phase, now: float, *, step: str | None = None) -> SlotRecord:
    """The target has come to the next phase, or to another step of it."""
    return _move(record, phase, now, step=step)


def flipped(record: SlotRecord, rule: Trial, now: float) -> SlotRecord:
    """The target answers live messages now, on trial. `active` and `previous` are untouched."""
    flipped_over = replace(record, candidate=record.target, trial=rule)
    return _move(flipped_over, Phase.TRIAL, now, step="trial")


def restarted(record: SlotRecord, *, was_interrupted: bool = True) -> SlotRecord:
    """The agent starts again.

    A candidate that is not the target any more is not started again where something committed can
    run in its place: nobody counts what it does. Where it is all there is, it goes on, unless the
    agent ended too often beside it: then it may be what takes the machine down.

    Args:
        record: as the last run left it.
        was_interrupted: that run did not end in good order.
    """
    is_stray = record.candidate not in (None, record.target)
    if is_stray and record.active is not None:
        record = withdrawn(record)
    elif is_stray and was_interrupted:
        record = _counted(record, STRAY)
        if record.interruptions[STRAY] >= MOST_INTERRUPTIONS:
            record = withdrawn(record)
    if not record.step or not was_interrupted:
        return record
    return _counted(record, record.step)


def _counted(record: SlotRecord, step: str) -> SlotRecord:
    count = record.interruptions.get(step, 0) + 1
    return replace(record, interruptions={**record.interruptions, step: count})


def committed(record: SlotRecord, now: float) -> SlotRecord:
    """The candidate has passed: it is active, and what was active is previous."""
    previous = record.previous if record.candidate == record.active else record.active
    return _move(
        replace(
            record,
            active=record.candidate,
            previous=previous,
            candidate=None,
            interruptions={},
            error=None,
            attempts=0,
            next_retry=None,
            put_off_since=None,
        ),
        Phase.ACTIVE,
        now,
    )


def withdrawn(record: SlotRecord) -> SlotRecord:
    """The candidate is taken away without having failed."""
    return replace(record, candidate=None)


def settled(record: SlotRecord, now: float) -> SlotRecord:
    """What is active is what is wanted."""
    return _move(
        replace(
            record,
            target=record.active,
            interruptions={},
            error=None,
            attempts=0,
            next_retry=None,
            put_off_since=None,
        ),
        Phase.ACTIVE,
        now,
    )


def failed(record: SlotRecord, error: SlotError, next_retry: float, now: float) -> SlotRecord:
    """The target did not get there; it is tried again at `next_retry` (seconds since 1970)."""
    return _move(
        replace(record, error=error, attempts=record.attempts + 1, next_retry=next_retry),
        Phase.FAILED,
        now,
    )


def rejected(record: SlotRecord, target: Installed, error: SlotError, now: float) -> SlotRecord:
    """`target` will never run here."""
    if record.phase not in (Phase.FETCHING, Phase.VERIFIED, Phase.INSTALLED, Phase.TRIAL):
        record = begun(record, target, now)
    attempts = record.attempts + 1
    return _move(
        replace(record, target=target, error=error, attempts=attempts, next_retry=None),
        Phase.REJECTED,
        now,
    )


def rolled_back(record: SlotRecord, error: SlotError, now: float) -> SlotRecord:
    """The target proved bad; what ran before it runs, with its own configuration."""
    is_live = record.candidate == record.target
    return _move(
        replace(
            record,
            candidate=None if is_live else record.candidate,
            error=error,
            attempts=record.attempts + 1,
            next_retry=None,
        ),
        Phase.ROLLED_BACK,
        now,
    )


def asked_again(record: SlotRecord, now: float) -> SlotRecord:
    """Somebody asks for another attempt at once; a final failure becomes one that is due."""
    record = replace(record, attempts=0, next_retry=None, interruptions={})
    if record.phase in (Phase.REJECTED, Phase.ROLLED_BACK):
        return _move(record, Phase.FETCHING, now, step="")
    return record
