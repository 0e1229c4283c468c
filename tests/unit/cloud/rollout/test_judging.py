"""Rollouts that are judged by what the version did: from health reports to the way back."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event

from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutState, RolloutWish, StageState
from tests.support.cloud import NOW, Cloud, change, cloud
from tests.support.letters import letter
from tests.support.puppets import Clock, Puppets
from tests.support.slot_counters import SlotCounters

NAMES = ("line-0", "line-1", "line-2")
JUDGED = Policy(
    stages=("1", "100%"),
    shadow_stages=1,
    soak_s=10,
    judge_s=2_000,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
    on_error="rollback",
)
A_SECOND = 50
R = RolloutState


class Measured(Puppets):
    """Puppets that tell what their slots do: so many messages each second.

    Attributes:
        counters: of all slots.
        is_mute: whether nothing is told.
    """

    def __init__(self, cloud: Cloud, clock: Clock, names: Iterable[str]) -> None:
        super().__init__(cloud, clock, names)
        self.counters = SlotCounters()
        self.is_mute = False

    def tick(self, seconds: float) -> None:
        """Let time pass, and all devices report."""
        self.clock.now += seconds
        for name, slots in self.running.items():
            report = self.counters.report(
                name,
                {} if self.is_mute else slots,
                messages=int(A_SECOND * seconds),
                time=self.clock.now,
                uptime_s=self.clock.now - NOW,
            )
            self.cloud.ingest.write([letter(report)])


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Measured]:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        yield Measured(made, clock, NAMES)


def begin(fleet: Measured) -> tuple[str, str, str]:
    """All run a first version, measured for a while; a second one is to follow it.

    Returns:
        Number of the rollout, digests of the first version and the second.
    """
    first = fleet.deploy_first()
    for _ in range(5):
        fleet.tick(30)
    second = fleet.cloud.publish(data=b"second").module.digest
    wish = RolloutWish(module="probe", to="all", seed=7, policy=JUDGED)
    made = fleet.cloud.parts.rollouts.create(wish, change(fleet.clock.now), start=True)
    return made.summary.id, first, second


def await_state(fleet: Measured, rollout: str, *states: RolloutState) -> RolloutState:
    fleet.drive(lambda: fleet.show(rollout).summary.state in states, seconds=10)
    return fleet.show(rollout).summary.state


def runs(fleet: Measured) -> set[str]:
    return {slots["probe"].running for slots in fleet.running.values()}


ENDS = (R.COMPLETED, R.COMPLETED_DEGRADED, R.ROLLED_BACK, R.ROLLBACK_INCOMPLETE, R.PAUSED)


def test_a_good_version_passes_all_gates_of_all_stages(fleet: Measured) -> None:
    rollout, _first, second = begin(fleet)
    assert await_state(fleet, rollout, *ENDS) is R.COMPLETED
    assert runs(fleet) == {second}
    verdict = fleet.show(rollout).summary.stages[-1].verdict
    assert verdict is not None
    assert {"error_rate", "slow", "memory"} <= {finding.gate for finding in verdict.findings}
    assert {finding.outcome for finding in verdict.findings} == {"passed"}


def test_a_version_that_answers_otherwise_never_gets_to_answer(fleet: Measured) -> None:
    rollout, first, second = begin(fleet)
    fleet.counters.differing[second] = 20
    seen: set[str] = set()

    def look() -> None:
        seen.update(runs(fleet))
        fleet.cloud.driver.look()

    fleet.drive(lambda: fleet.show(rollout).summary.state in ENDS, seconds=10, look=look)
    shown = fleet.show(rollout).summary
    assert shown.state is R.ROLLED_BACK
    assert seen == {first}
    assert second not in {found.running for s in fleet.running.values() for found in s.values()}
    verdict = shown.stages[0].verdict
    assert verdict is not None
    assert "differ from the champion" in verdict.text


@pytest.mark.parametrize(("differing", "end"), [(0, R.COMPLETED), (20, R.ROLLED_BACK)])
def test_a_rollout_that_brings_a_shadow_is_judged_by_what_it_compares(
    differing: int, end: RolloutState, fleet: Measured
) -> None:
    fleet.deploy_first()
    fleet.tick(30)
    second = fleet.cloud.publish(data=b"second").module.digest
    fleet.counters.differing[second] = differing
    wish = RolloutWish(module="probe", to="all", seed=7, shadows="probe", policy=JUDGED)
    made = fleet.cloud.parts.rollouts.create(wish, change(fleet.clock.now), start=True)
    rollout = made.summary.id
    assert await_state(fleet, rollout, *ENDS) is end
    verdict = next(s.verdict for s in fleet.show(rollout).summary.stages if s.verdict)
    answers = {finding.gate: finding.outcome for finding in verdict.findings}
    assert answers["disagreement"] == ("failed" if differing else "passed")
    assert not {"slow", "old"} & answers.keys()


def test_a_version_that_fails_on_messages_is_taken_back(fleet: Measured) -> None:
    rollout, first, second = begin(fleet)
    fleet.counters.errors[second] = 20
    assert await_state(fleet, rollout, *ENDS) is R.ROLLED_BACK
    assert runs(fleet) == {first}
    verdict = fleet.show(rollout).summary.stages[0].verdict
    assert verdict is not None
    assert verdict.outcome == "failed"
    assert "20 % of" in verdict.text


def test_a_version_with_the_errors_of_its_champion_goes_on(fleet: Measured) -> None:
    fleet.counters.errors[fleet.cloud.publish(data=b"first").module.digest] = 20
    rollout, _first, second = begin(fleet)
    fleet.counters.errors[second] = 20
    assert await_state(fleet, rollout, *ENDS) is R.COMPLETED
    assert runs(fleet) == {second}


def test_a_version_of_which_nothing_is_told_never_passes(fleet: Measured) -> None:
    rollout, first, _second = begin(fleet)
    fleet.is_mute = True
    assert await_state(fleet, rollout, *ENDS) is R.PAUSED
    assert runs(fleet) == {first}


def test_nobody_waits_to_write_while_evidence_is_read(fleet: Measured) -> None:
    rollout, _, _ = begin(fleet)
    fleet.drive(
        lambda: fleet.show(rollout).summary.stages[0].state is StageState.SOAKING, seconds=1
    )
    read: list[bool] = []
    is_writing = False

    def note(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        nonlocal is_writing
        if statement.startswith("BEGIN"):
            is_writing = statement == "BEGIN IMMEDIATE"
        elif "FROM slot_measures" in statement:
            read.append(is_writing)

    event.listen(fleet.cloud.parts.database.engine, "before_cursor_execute", note)
    fleet.clock.now += 5
    fleet.cloud.driver.look()
    assert read
    assert not any(read)
