"""The life cycle of a slot as a table: every phase, every step of a plan, every outcome of it."""

from itertools import product

import pytest
from msgspec.structs import replace

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import TRANSITIONS, Phase, SlotConfig, SlotError
from edge_agent.errors import ContractError
from edge_agent.reconcile import transition
from edge_agent.reconcile.trial import MOST_INTERRUPTIONS, too_often_interrupted
from edge_agent.store.slots import Installed, SlotRecord

OLD = Installed(module="m", version=1, digest="sha256:1", config=SlotConfig(uplink="all"))
NEW = Installed(module="m", version=2, digest="sha256:2", config=SlotConfig(uplink="none"))
OTHER = Installed(module="m", version=3, digest="sha256:3")
ERROR = SlotError(code="x", text="x")
NOW = 5.0

MOVES = {
    "begin the target": lambda r: transition.begun(r, NEW, NOW),
    "begin another": lambda r: transition.begun(r, OTHER, NOW),
    "begin later": lambda r: transition.begun(r, NEW, NOW, due=9.0),
    "fetch done": lambda r: transition.arrived(r, Phase.VERIFIED, NOW),
    "install done": lambda r: transition.arrived(r, Phase.INSTALLED, NOW),
    "prove begins": lambda r: transition.arrived(r, Phase.TRIAL, NOW),
    "switch begins": lambda r: transition.arrived(r, Phase.TRIAL, NOW, step="switch"),
    "switch done": lambda r: transition.flipped(r, Trial(), NOW),
    "trial passed": lambda r: transition.committed(r, NOW),
    "failed, try again": lambda r: transition.failed(r, ERROR, 9.0, NOW),
    "refused for good": lambda r: transition.rejected(r, NEW, ERROR, NOW),
    "proved bad": lambda r: transition.rolled_back(r, ERROR, NOW),
    "wanted again": lambda r: transition.settled(r, NOW),
    "asked again": lambda r: transition.asked_again(r, NOW),
}
"""Every step that a plan may have, with every outcome that it may come to."""

FETCHING, VERIFIED, INSTALLED, TRIAL, ACTIVE = (
    Phase.FETCHING, Phase.VERIFIED, Phase.INSTALLED, Phase.TRIAL, Phase.ACTIVE,
)  # fmt: skip
FAILED, REJECTED, ROLLED_BACK = Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK
ON_THE_WAY = (FETCHING, VERIFIED, INSTALLED, TRIAL)
ANY = (*ON_THE_WAY, ACTIVE, FAILED, REJECTED, ROLLED_BACK)

TABLE = {
    **{("begin the target", phase): (FETCHING, "fetch") for phase in (Phase.ABSENT, *ANY)},
    **{("begin another", phase): (FETCHING, "fetch") for phase in (Phase.ABSENT, *ANY)},
    **{("begin later", phase): (FETCHING, "") for phase in (Phase.ABSENT, *ANY)},
    **{("fetch done", phase): (VERIFIED, "install") for phase in (FETCHING, VERIFIED)},
    **{("install done", phase): (INSTALLED, "prove") for phase in (VERIFIED, INSTALLED)},
    **{("prove begins", phase): (TRIAL, "prove") for phase in (INSTALLED, TRIAL)},
    **{("switch begins", phase): (TRIAL, "switch") for phase in (INSTALLED, TRIAL)},
    **{("switch done", phase): (TRIAL, "trial") for phase in (INSTALLED, TRIAL)},
    **{("trial passed", phase): (ACTIVE, "") for phase in ANY},
    **{("wanted again", phase): (ACTIVE, "") for phase in ANY},
    **{
        ("failed, try again", phase): (FAILED, "")
        for phase in (*ON_THE_WAY, ACTIVE, FAILED, ROLLED_BACK)
    },
    **{("refused for good", phase): (REJECTED, "") for phase in (Phase.ABSENT, *ANY)},
    **{
        ("proved bad", phase): (ROLLED_BACK, "")
        for phase in (*ON_THE_WAY, ACTIVE, FAILED, ROLLED_BACK)
    },
    ("asked again", REJECTED): (FETCHING, ""),
    ("asked again", ROLLED_BACK): (FETCHING, ""),
    **{
        ("asked again", phase): (phase, transition._STEPS.get(phase, ""))
        for phase in (Phase.ABSENT, *ON_THE_WAY, ACTIVE, FAILED)
    },
}
"""What follows: the phase, and the step that is under way in it. What is not here is refused."""


def in_phase(phase: Phase) -> SlotRecord:
    """A slot on the way from OLD to NEW, or that has just come there or failed to."""
    return SlotRecord(
        slot="s",
        phase=phase,
        target=None if phase is Phase.ABSENT else NEW,
        active=None if phase is Phase.ABSENT else OLD,
        previous=None if phase is Phase.ABSENT else OTHER,
        candidate=NEW if phase is TRIAL else None,
        step=transition._STEPS.get(phase, ""),
        interruptions={"prove": 1},
        attempts=2,
    )


@pytest.mark.parametrize(("move", "phase"), list(product(MOVES, Phase)))
def test_every_phase_meets_every_outcome(move: str, phase: Phase) -> None:
    before = in_phase(phase)
    expected = TABLE.get((move, phase))
    if expected is None:
        with pytest.raises(ContractError) as refused:
            MOVES[move](before)
        assert refused.value.code == "bad_transition"
        return
    after = MOVES[move](before)
    assert (after.phase, after.step) == expected
    if move not in ("trial passed", "wanted again"):
        assert (after.active, after.previous) == (before.active, before.previous)


def test_no_phase_is_a_dead_end_and_each_can_be_left_by_something_else_being_wanted() -> None:
    assert set(TRANSITIONS) == set(Phase)
    for phase in set(Phase) - {Phase.FETCHING}:
        assert Phase.FETCHING in TRANSITIONS[phase]
    for phase in ON_THE_WAY:
        assert {FAILED, REJECTED, ROLLED_BACK} <= TRANSITIONS[phase]


def test_a_commit_keeps_what_was_active_with_its_configuration() -> None:
    after = transition.committed(in_phase(TRIAL), NOW)
    assert (after.active, after.previous, after.candidate) == (NEW, OLD, None)
    assert after.previous is not None
    assert after.previous.config == OLD.config


def test_a_rollback_restores_the_version_and_its_configuration() -> None:
    after = transition.rolled_back(in_phase(TRIAL), ERROR, NOW)
    assert after.serving == OLD
    assert after.serving.config == OLD.config
    assert after.previous == OTHER


def test_starts_of_the_agent_are_counted_by_step_unless_it_ended_in_good_order() -> None:
    proving = in_phase(TRIAL)
    once = transition.restarted(proving)
    assert once.interruptions == {"prove": 2}
    live = transition.flipped(once, Trial(), NOW)
    assert transition.restarted(live).interruptions == {"prove": 2, "trial": 1}
    assert transition.restarted(live, was_interrupted=False) == live
    for phase in (ACTIVE, FAILED, REJECTED, ROLLED_BACK):
        resting = in_phase(phase)
        assert transition.restarted(resting) == resting


def test_a_count_outlives_the_way_back_to_the_step_and_no_other_wish() -> None:
    record = in_phase(TRIAL)
    for _ in range(MOST_INTERRUPTIONS):
        record = transition.restarted(record)
        record = transition.begun(record, NEW, NOW)
        record = transition.arrived(record, Phase.VERIFIED, NOW)
        record = transition.arrived(record, Phase.INSTALLED, NOW)
        record = transition.arrived(record, Phase.TRIAL, NOW)
    error = too_often_interrupted(record.interruptions)
    assert error is not None
    assert (error.code, error.step) == ("agent_restarted", "prove")
    for forgotten in (
        transition.begun(record, replace(NEW, config=SlotConfig(uplink="all")), NOW),
        transition.asked_again(record, NOW),
        transition.committed(transition.flipped(record, Trial(), NOW), NOW),
    ):
        assert forgotten.interruptions == {}


def test_a_candidate_that_is_not_the_target_any_more_does_not_outlive_the_agent() -> None:
    stray = replace(in_phase(FETCHING), candidate=OTHER)
    assert transition.restarted(stray).serving == OLD
    # With nothing to go back to it goes on, until it may be what takes the machine down.
    first = replace(stray, active=None)
    assert transition.restarted(first, was_interrupted=False).serving == OTHER
    for _ in range(MOST_INTERRUPTIONS - 1):
        first = transition.restarted(first)
        assert first.serving == OTHER
    assert transition.restarted(first).serving is None
