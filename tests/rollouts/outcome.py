"""What a fleet must have come to when all disorder has ended: the same in memory and on a database.

That nothing is broken is the judge's business; here it is that what could be reached was. It reads
rollouts as they are stored and devices as they are, and asks no planner.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cloud_sync.rollout.invariants import Judge
from cloud_sync.rollout.observation import Joiner, StageEvidence
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout.states import ENDED, ENDED_BADLY, IN_FLIGHT
from cloud_sync.rollout_resources import AssignmentState, RolloutState, StageState
from edge_agent.contract.state import Phase
from tests.rollouts.claims import taken_by
from tests.rollouts.device import RolloutDevice
from tests.rollouts.measured import COMPLETED
from tests.rollouts.passing import is_condemned

_R: Final = RolloutState
_A: Final = AssignmentState
_UNBEGUN: Final = frozenset({_R.DRAFT, _R.PENDING_APPROVAL})
_AT_REST: Final = (
    COMPLETED
    | _UNBEGUN
    | {_R.PAUSED, _R.ROLLED_BACK, _R.ROLLBACK_INCOMPLETE, _R.CANCELLED, _R.SUPERSEDED}
)
_GONE: Final = frozenset({_A.EXPIRED, _A.SUPERSEDED, _A.NOT_APPLICABLE, _A.ALREADY_PRESENT})

STUCK: Final = "a rollout stands still though all is well"
NOT_BACK: Final = "a rollback does not end though all is well"
NOT_JOINED: Final = "a late device is left behind"
NOT_REACHED: Final = "a device that is there has not got it"
DEAF: Final = "labels are not heard"
NOT_AS_SAID: Final = "a device does not run what its rollout says"


@dataclass(frozen=True)
class Outcome:
    """Everything at the end.

    Attributes:
        rollouts: all of them, as they are stored.
        devices: by name.
        revisions: of each device's desired state.
        spoiled: digests that fail.
        late: who is still to join a rollout.
        evidence: what was measured of a rollout's last stage that is under way.
    """

    rollouts: Sequence[Rollout]
    devices: Mapping[str, RolloutDevice]
    revisions: Mapping[str, int]
    spoiled: Collection[str]
    late: Callable[[Rollout], Sequence[Joiner]]
    evidence: Callable[[Rollout], StageEvidence]

    def check(self) -> None:
        """All of it.

        Raises:
            AssertionError: something was not reached.
        """
        for rollout in self.rollouts:
            self._check_end(rollout)
            if rollout.state in COMPLETED:
                self._check_completed(rollout)
            for name, one in rollout.assignments.items():
                if self.revisions[name] == one.revision:
                    self._check_device(rollout, one)

    def _check_end(self, rollout: Rollout) -> None:
        said = f"r{rollout.id} is {rollout.state}: {rollout.state_reason}"
        if rollout.state in (_R.ROLLING_BACK, _R.ROLLBACK_INCOMPLETE):
            # One that can go neither forward nor back is a person's to mend.
            is_excused = rollout.state is _R.ROLLBACK_INCOMPLETE and any(
                one.state is _A.FAILED or self._has_given_up(rollout, one)
                for one in rollout.assignments.values()
            )
            assert is_excused, f"{NOT_BACK}: {said}"
        elif rollout.state in (_R.READY, _R.RUNNING, _R.PAUSED):
            assert self._waits(rollout) or self._has_failed(rollout), f"{STUCK}: {said}"

    def _has_given_up(self, rollout: Rollout, one: Assignment) -> bool:
        """Whether a device does not try again what it was told last."""
        slot = self.devices[one.device].slots.get(rollout.slot)
        return slot is not None and slot.phase in (Phase.REJECTED, Phase.ROLLED_BACK)

    def _waits(self, rollout: Rollout) -> bool:
        """Whether another one, which goes first, holds one of its devices."""
        others = [one for one in self.rollouts if one.slot == rollout.slot]
        return any(taken_by(others, rollout, name) for name in rollout.assignments)

    def _has_failed(self, rollout: Rollout) -> bool:
        """Whether its version, or what became of its devices, keeps the stage from passing."""
        if rollout.state is not _R.PAUSED:
            return False
        stage = next(one for one in rollout.stages if one.state is not StageState.PASSED)
        members = [one for one in rollout.assignments.values() if one.stage == stage.number]
        gates = rollout.wish.policy.gates
        seen = self.evidence(rollout).version
        return (
            any(one.state in ENDED_BADLY for one in members)
            or all(one.state in _GONE for one in members)
            or (gates is not None and any(one.digest in self.spoiled for one in members))
            or (gates is not None and gates.wrong is not None and seen.wrong > 0)
        )

    def _check_completed(self, rollout: Rollout) -> None:
        """Whoever was to join has, all have had their turn, and no label speaks against it."""
        late = self.late(rollout)
        assert not late, f"{NOT_JOINED}: {late[0].device} of r{rollout.id}"
        others = [one for one in self.rollouts if one.slot == rollout.slot]
        for name, one in rollout.assignments.items():
            is_done = one.state is _A.COMMITTED or one.state in ENDED
            assert is_done or taken_by(others, rollout, name), (
                f"{NOT_REACHED}: {name} of r{rollout.id} is {one.state}"
            )
        seen = self.evidence(rollout)
        assert not is_condemned(seen.version, seen.champion), (
            f"{DEAF}: {seen.version.wrong} of r{rollout.id} say wrong"
        )

    def _check_device(self, rollout: Rollout, one: Assignment) -> None:
        """Nobody has told it anything since: it runs what it was told."""
        device = self.devices[one.device]
        slot = device.slots.get(rollout.slot)
        found = slot.running if slot else ""
        wanted = found
        if one.state is _A.COMMITTED and one.is_wanted:
            wanted = one.digest
        elif one.state is _A.ROLLED_BACK and rollout.state is _R.ROLLED_BACK:
            wanted = one.previous.digest if one.previous and not device.has_lied else ""
            wanted = found if device.has_lied else wanted
        assert found == wanted, (
            f"{NOT_AS_SAID}: {one.device} runs {found or 'nothing'}, and r{rollout.id} "
            f"has it {one.state} with {wanted or 'nothing'}"
        )


def is_at_rest(rollouts: Iterable[Rollout], devices: Iterable[RolloutDevice]) -> bool:
    """Whether nothing is on its way any more, and nobody has still something to say."""
    return all(
        rollout.state in _AT_REST
        and not any(one.state in IN_FLIGHT for one in rollout.assignments.values())
        for rollout in rollouts
    ) and not any(device.outbox for device in devices)


def tell_installed(judge: Judge, devices: Iterable[RolloutDevice]) -> None:
    """Have the judge see what devices began to run, in the order of each."""
    for device in devices:
        for fact in device.installed:
            judge.install(fact)
