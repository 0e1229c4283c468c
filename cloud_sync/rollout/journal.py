"""The journal of a rollout: every transition with its actor, its reason and what it rests on.

Written in the transition's own transaction, read by people and by who checks the rules afterwards.
Stamps go up from entry to entry, so that the order of transactions can be told from them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, insert, select

from cloud_sync.db.rollout_tables import rollout_events
from cloud_sync.rollout.decisions import (
    Decision,
    Extend,
    Join,
    Judged,
    Move,
    MoveRollout,
    MoveStage,
    Offer,
    Revert,
    Trouble,
)
from cloud_sync.rollout.rollout import NO_STAGE, Assignment, Rollout
from cloud_sync.rollout_resources import AssignmentState, RolloutEvent, Verdict

TICK_S: Final = 1e-6
CLOCK_SLACK_S: Final = 60.0
"""A clock that was set back by more than this is believed, and stamps go back with it."""

OVERCOME: Final = "what was in its way is over"
_E: Final = rollout_events.c
_ENCODER: Final = msgspec.json.Encoder()
_EVIDENCE: Final = msgspec.json.Decoder(dict[str, str])


def stamp(connection: Connection, now: float) -> float:
    """The time of a transaction's entries: after those of all transactions before."""
    last: float | None = connection.scalar(select(_E.time).order_by(_E.id.desc()).limit(1))
    if last is None or now > last or last - now > CLOCK_SLACK_S:
        return now
    return last + TICK_S


def write(connection: Connection, number: int, entries: Sequence[RolloutEvent]) -> None:
    """Append entries; their `id` is given here."""
    if entries:
        connection.execute(
            insert(rollout_events),
            [
                {
                    "rollout": number,
                    "time": entry.time,
                    "stage": entry.stage,
                    "device": entry.device,
                    "before": entry.before,
                    "after": entry.after,
                    "actor": entry.actor,
                    "reason": entry.reason,
                    "evidence": _ENCODER.encode(entry.evidence),
                }
                for entry in entries
            ],
        )


def read(
    connection: Connection,
    number: int,
    *,
    after_id: int = 0,
    device: str | None = None,
    limit: int = 1_000,
) -> list[RolloutEvent]:
    """Entries in the order in which they were written.

    Args:
        connection: of a transaction.
        number: of the rollout.
        after_id: only those after this one.
        device: only this one's; "" for those of the rollout and its stages; None for all.
        limit: most entries.
    """
    query = select(rollout_events).where(_E.rollout == number, _E.id > after_id)
    if device is not None:
        query = query.where(_E.device == device)
    return [_event(row) for row in connection.execute(query.order_by(_E.id).limit(limit))]


def entries_of(
    before: Rollout,
    decisions: Sequence[Decision],
    revisions: Mapping[str, int],
    *,
    actor: str,
    time: float,
) -> list[RolloutEvent]:
    """What decisions mean, as entries. Pure.

    Args:
        before: the rollout that they were made for.
        decisions: in their order; a thing that moves twice makes two entries.
        revisions: device to the number of the desired state that an offer or a revert made.
        actor: who decided.
        time: of the entries.
    """
    state = before.state.value
    stages = {stage.number: stage.state.value for stage in before.stages}
    devices: dict[str, tuple[int, str]] = {}
    found: list[RolloutEvent] = []

    def note(
        stage: int | None, device: str, old: str, new: str, reason: str, evidence: dict[str, str]
    ) -> None:
        found.append(
            RolloutEvent(
                id=0,
                time=time,
                stage=stage,
                device=device,
                before=old,
                after=new,
                actor=actor,
                reason=reason,
                evidence=evidence,
            )
        )

    for decision in decisions:
        match decision:
            case MoveRollout():
                note(None, "", state, decision.state.value, decision.reason, {})
                state = decision.state.value
            case MoveStage():
                old = stages[decision.stage]
                evidence = verdict_evidence(decision.verdict)
                if decision.step is not None:
                    evidence["step"] = decision.step
                note(decision.stage, "", old, decision.state.value, decision.reason, evidence)
                stages[decision.stage] = decision.state.value
            case Join():
                joined = decision.assignment
                found.append(first_entry(joined, actor=actor, time=time))
                devices[joined.device] = (joined.stage, joined.state.value)
            case Move() | Offer() | Revert():
                was = before.assignments.get(decision.device)
                known = devices.get(decision.device)
                stage, old = known or ((was.stage, was.state.value) if was else (0, ""))
                new, evidence = _of_device(decision, revisions)
                # A desired state may go back before its device does, and after it.
                if new != old:
                    note(stage, decision.device, old, new, decision.reason, evidence)
                devices[decision.device] = (stage, new)
            case Trouble():
                note(None, "", state, state, decision.text or OVERCOME, {})
            case Judged() | Extend():
                pass
    return found


def first_entry(assignment: Assignment, *, actor: str, time: float) -> RolloutEvent:
    """That a device has come into a rollout, or is left out of it. Pure."""
    return RolloutEvent(
        id=0,
        time=time,
        stage=None if assignment.stage == NO_STAGE else assignment.stage,
        device=assignment.device,
        before="",
        after=assignment.state.value,
        actor=actor,
        reason=assignment.reason,
        evidence=dict(assignment.evidence),
    )


def verdict_evidence(verdict: Verdict | None) -> dict[str, str]:
    """A verdict as evidence: its outcome, its text, and each gate's finding."""
    if verdict is None:
        return {}
    findings = {finding.gate: f"{finding.outcome}: {finding.text}" for finding in verdict.findings}
    return {"verdict": verdict.outcome, "text": verdict.text} | findings


def _of_device(
    decision: Move | Offer | Revert, revisions: Mapping[str, int]
) -> tuple[str, dict[str, str]]:
    if isinstance(decision, Move):
        return decision.state.value, dict(decision.evidence)
    revision = revisions.get(decision.device)
    evidence = {} if revision is None else {"revision": str(revision)}
    if isinstance(decision, Offer):
        return AssignmentState.OFFERED.value, evidence | {"mode": decision.mode}
    return decision.state.value, decision.evidence | evidence


def _event(row: Row[Any]) -> RolloutEvent:  # Any: columns
    return RolloutEvent(
        id=row.id,
        time=row.time,
        stage=row.stage,
        device=row.device,
        before=row.before,
        after=row.after,
        actor=row.actor,
        reason=row.reason,
        evidence=_EVIDENCE.decode(row.evidence),
    )
