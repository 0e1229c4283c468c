"""What a step of a stage must have shown before it passes: the second opinion on verdicts.

It counts devices and messages by itself, by what a policy promises; it never asks the planner, and
knows nothing of how a gate is weighed but the least that its risks need.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from cloud_sync.rollout.decisions import Decision, Join, Move, MoveStage, Offer, Revert
from cloud_sync.rollout.evolve import evolve
from cloud_sync.rollout.observation import Measures, StageEvidence
from cloud_sync.rollout.rollout import Assignment, Rollout, Step
from cloud_sync.rollout.violation import Invariant
from cloud_sync.rollout_gates import Limit
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, StageState

MANY_LABELS = 100
_A = AssignmentState
_GONE = frozenset({_A.EXPIRED, _A.SUPERSEDED, _A.NOT_APPLICABLE, _A.ALREADY_PRESENT})


def check_passed(
    before: Rollout, decisions: Sequence[Decision], seen: StageEvidence, now: float
) -> None:
    """Look at every step that passes.

    Args:
        before: the rollout that this was decided for.
        decisions: in their order.
        seen: what was measured of its stage until then.
        now: seconds since 1970.

    Raises:
        AssertionError: one passed without what its policy asks for.
    """
    for place, decision in enumerate(decisions):
        if not isinstance(decision, MoveStage):
            continue
        step = before.stages[decision.stage].step
        is_passed = decision.state is StageState.PASSED or (
            step == "shadow" and decision.step == "run"
        )
        if is_passed:
            devices = (Join, Move, Offer, Revert)
            then = [one for one in decisions[:place] if isinstance(one, devices)]
            members = [
                one
                for one in evolve(before, then, now).assignments.values()
                if one.stage == decision.stage
            ]
            missing = ", ".join(_missing(members, step, before.wish.policy, seen, now))
            assert not missing, (
                f"{Invariant.MISSING_DATA}: {step} step of stage {decision.stage} of "
                f"r{before.id} passed: {missing}"
            )


def _missing(
    members: Sequence[Assignment], step: Step, policy: Policy, seen: StageEvidence, now: float
) -> Iterator[str]:
    if all(one.state in _GONE for one in members):
        # The step after a shadow is judged for itself; a stage is the last word.
        is_harmless = all(one.state is _A.ALREADY_PRESENT for one in members)
        if step == "run" and policy.min_success > 0 and not is_harmless:
            yield "nobody has tried it"
        return
    has_it = _A.SHADOW if step == "shadow" else _A.COMMITTED
    since = [one.since for one in members if one.state is has_it]
    is_there = since or any(one.state is _A.COMMITTED for one in members)
    if not is_there and policy.min_success > 0:
        yield "nobody runs it"
    if 2 * sum(now < begun + policy.soak_s - 1e-3 for begun in since) > len(since):
        yield f"most devices have it for less than {policy.soak_s} s"
    version, champion = seen.version, seen.champion
    if version.messages < policy.soak_messages:
        yield f"{version.messages} messages of {policy.soak_messages}"
    gates = policy.gates
    if gates is None:
        return
    if (limit := gates.error_rate) is not None:
        before = champion.errors / champion.messages if champion.messages else 0.0
        yield from _unproved("errors", version.errors, version.messages, limit, gates.miss, before)
    if step == "shadow" and (limit := gates.disagreement) is not None:
        yield from _unproved(
            "disagreement", version.differed, version.compared, limit, gates.miss, 0.0
        )
    if step == "run" and gates.wrong is not None and is_condemned(version, champion):
        yield f"{version.wrong} of {version.wrong + version.right} labels say wrong"


def is_condemned(version: Measures, champion: Measures) -> bool:
    """Whether labels leave no doubt that a version is worse than what was there."""
    labels = version.right + version.wrong
    return labels >= MANY_LABELS and 2 * version.wrong > labels and not champion.wrong


def _unproved(
    name: str, hits: int, of: int, limit: Limit, miss: float, before: float
) -> Iterable[str]:
    # A bad version is fine so many times in a row as often as it may be missed.
    least = math.log(miss) / math.log((1 - limit.bad) / (1 - limit.good))
    if of < least and before <= limit.good:
        yield f"{name} known of {of} messages, {least:.0f} are the least"
    elif hits >= max(limit.bad, 2 * before) * of:
        yield f"{name} in {hits} of {of} messages"
