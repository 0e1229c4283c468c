"""What versions did since they were asked for, as the service has counted it in memory.

It adds up and says what a stage may pass with; the planner judges.
"""

from collections import Counter
from collections.abc import Iterable

from cloud_sync.rollout.decisions import Decision, MoveStage, Offer
from cloud_sync.rollout.observation import Measures, StageEvidence
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout_resources import AssignmentState, StageState
from edge_agent.contract.shadows import shadow_slot

SLOT = "probe"
SHADOW = shadow_slot(SLOT)
UNDER_WAY = frozenset(StageState) - {StageState.WAITING, StageState.PASSED}
_A = AssignmentState


class Measured:
    """Counts of messages.

    Attributes:
        messages: that a digest has had, by device, slot and digest; as they were reported.
        bad: digests that fail every fifth message.
    """

    def __init__(self) -> None:
        self.messages: Counter[tuple[str, str, str]] = Counter()
        self.bad: set[str] = set()

    def begin(self, rollout: Rollout, offer: Offer) -> None:
        """Only what a version does after it was asked for counts."""
        slot = SHADOW if offer.mode == "shadow" else SLOT
        self.messages.pop((offer.device, slot, rollout.assignments[offer.device].digest), None)

    def evidence_of(self, rollout: Rollout) -> StageEvidence:
        """What is measured of the stage that is under way."""
        stage = next((one for one in rollout.stages if one.state in UNDER_WAY), None)
        if stage is None:
            return StageEvidence()
        slot = SHADOW if stage.step == "shadow" else SLOT
        members = [one for one in rollout.assignments.values() if one.stage == stage.number]
        version = [(self.messages[one.device, slot, one.digest], one.digest) for one in members]
        champion = [
            (self.messages[one.device, SLOT, one.previous.digest], one.previous.digest)
            for one in members
            if one.previous is not None
        ]
        return StageEvidence(
            version=self._sum(version, is_shadow=stage.step == "shadow"),
            champion=self._sum(champion, is_shadow=False),
        )

    def check_passed(
        self, before: Rollout, after: Rollout, decisions: Iterable[Decision], now: float
    ) -> None:
        """A stage passes only with the evidence that the policy asks for.

        Raises:
            AssertionError: one passed without.
        """
        policy = after.wish.policy
        for decision in decisions:
            if not isinstance(decision, MoveStage) or decision.state is not StageState.PASSED:
                continue
            members = [one for one in after.assignments.values() if one.stage == decision.stage]
            if not any(one.state is _A.COMMITTED for one in members):
                continue  # nobody of it is left to be judged
            seen = self.evidence_of(before).version.messages
            assert seen >= policy.soak_messages, f"passed after {seen} messages"
            asked = policy.gates is not None and policy.gates.error_rate is not None
            assert seen > 0 or not asked, "passed without a message, and there is a gate"
            since = min(one.since for one in members if one.state is _A.COMMITTED)
            assert now - since >= policy.soak_s - 1e-3, "passed before its soak was over"

    def _sum(self, counts: list[tuple[int, str]], *, is_shadow: bool) -> Measures:
        messages = sum(count for count, _digest in counts)
        errors = sum(count // 5 for count, digest in counts if digest in self.bad)
        return Measures(
            devices=sum(count > 0 for count, _digest in counts),
            messages=messages,
            errors=errors,
            compared=messages if is_shadow else 0,
            differed=errors if is_shadow else 0,
        )
