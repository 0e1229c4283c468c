"""What versions did since they were asked for, as the service has counted it in memory.

It adds up as `rollout.evidence` does, of those alone that were offered the version; the planner
judges.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from cloud_sync.rollout.decisions import Offer
from cloud_sync.rollout.observation import Measures, StageEvidence
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout_resources import RolloutState, StageState
from edge_agent.contract.shadows import shadow_slot

UNDER_WAY = frozenset(StageState) - {StageState.WAITING, StageState.PASSED}
COMPLETED = frozenset({RolloutState.COMPLETED, RolloutState.COMPLETED_DEGRADED})
Place = tuple[str, str, str]
"""Device, slot, digest."""


class Measured:
    """Counts of messages.

    Attributes:
        messages: that a digest has had.
        wrong: of its answers, those that a label proved wrong.
        right: the same, right.
        bad: digests that fail every fifth message.
    """

    def __init__(self) -> None:
        self.messages: Counter[Place] = Counter()
        self.wrong: Counter[Place] = Counter()
        self.right: Counter[Place] = Counter()
        self.bad: set[str] = set()

    def begin(self, rollout: Rollout, offer: Offer) -> None:
        """Only what a version does after it was asked for counts."""
        slot = shadow_slot(rollout.slot) if offer.mode == "shadow" else rollout.slot
        place = (offer.device, slot, rollout.assignments[offer.device].digest)
        for counts in (self.messages, self.wrong, self.right):
            counts.pop(place, None)

    def evidence_of(self, rollout: Rollout) -> StageEvidence:
        """What is measured of the stage that is under way; of one that is over, of its last."""
        policy = rollout.wish.policy
        gates = policy.gates
        has_labels = gates is not None and gates.wrong is not None
        stage = _judged(rollout, has_labels=has_labels)
        if stage is None or (gates is None and policy.soak_messages <= 0):
            return StageEvidence()
        told = [one for one in _offered(rollout) if one.stage == stage.number]
        told = [one for one in told if one.mode == stage.step]
        passed = {one.number for one in rollout.stages if one.state is StageState.PASSED}
        late = [
            one
            for one in _offered(rollout)
            if has_labels and stage.step == "run" and one.stage in passed - {stage.number}
            if one.mode == "run"
        ]
        is_shadow = stage.step == "shadow"
        slot = shadow_slot(rollout.slot) if is_shadow else rollout.slot
        return StageEvidence(
            version=self._sum(
                _places(slot, told), _places(rollout.slot, late), is_shadow=is_shadow
            ),
            champion=self._sum(
                _before(rollout.slot, told), _before(rollout.slot, late), is_shadow=False
            ),
        )

    def _sum(
        self, places: Iterable[Place], labelled: Iterable[Place], *, is_shadow: bool
    ) -> Measures:
        places = list(places)
        everywhere = [*places, *labelled]
        counts = [(self.messages[place], place[2]) for place in places]
        messages = sum(count for count, _digest in counts)
        errors = sum(count // 5 for count, digest in counts if digest in self.bad)
        return Measures(
            devices=sum(count > 0 for count, _digest in counts),
            messages=messages,
            errors=errors,
            compared=messages if is_shadow else 0,
            differed=errors if is_shadow else 0,
            right=sum(self.right[place] for place in everywhere),
            wrong=sum(self.wrong[place] for place in everywhere),
        )


def _judged(rollout: Rollout, *, has_labels: bool) -> Stage | None:
    if rollout.state in COMPLETED:
        return rollout.stages[-1] if has_labels else None
    return next((one for one in rollout.stages if one.state in UNDER_WAY), None)


def _offered(rollout: Rollout) -> list[Assignment]:
    """Of others nobody knows what they did for this rollout."""
    return [one for one in rollout.assignments.values() if one.revision > 0]


def _places(slot: str, members: Iterable[Assignment]) -> Iterator[Place]:
    return ((one.device, slot, one.digest) for one in members)


def _before(slot: str, members: Iterable[Assignment]) -> Iterator[Place]:
    return (
        (one.device, slot, one.previous.digest)
        for one in members
        if one.previous is not None and one.previous.digest != one.digest
    )
