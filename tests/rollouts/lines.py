"""What was decided as the lines of a history: every transition, in the order it was decided."""

from collections.abc import Iterable, Mapping

from cloud_sync.rollout.decisions import (
    Decision,
    Join,
    Move,
    MoveRollout,
    MoveStage,
    Offer,
    Revert,
)
from cloud_sync.rollout.journal import verdict_evidence
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout_resources import AssignmentState

_A = AssignmentState
Line = tuple[int, int | None, str, str, str, dict[str, str]]
"""Rollout, stage, device, before, after, evidence."""


def lines_of(
    rollout: Rollout, decisions: tuple[Decision, ...], revisions: Mapping[str, int]
) -> Iterable[Line]:
    """An event for every transition, in the order in which they were decided."""
    state: str = rollout.state
    stages = {stage.number: str(stage.state) for stage in rollout.stages}
    states = {name: str(one.state) for name, one in rollout.assignments.items()}
    for decision in decisions:
        match decision:
            case MoveRollout():
                yield rollout.id, None, "", state, decision.state, {}
                state = decision.state
            case MoveStage():
                before = stages[decision.stage]
                told = verdict_evidence(decision.verdict)
                yield rollout.id, decision.stage, "", before, decision.state, told
                stages[decision.stage] = decision.state
            case Move() | Offer() | Revert():
                after = _A.OFFERED if isinstance(decision, Offer) else decision.state
                evidence = {} if isinstance(decision, Offer) else dict(decision.evidence)
                if not isinstance(decision, Move):
                    evidence["revision"] = str(revisions[decision.device])
                yield rollout.id, None, decision.device, states[decision.device], after, evidence
                states[decision.device] = after
            case Join():
                name = decision.assignment.device
                states[name] = str(decision.assignment.state)
                yield rollout.id, None, name, "", states[name], {}
            case _:
                pass  # changes no state
