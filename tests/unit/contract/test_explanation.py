"""Why a slot is where it is: the same words on the device and in the cloud."""

import pytest
from msgspec.structs import replace

from edge_agent.contract.advice import WHAT_TO_DO
from edge_agent.contract.explanation import explain_slot, worker_trouble
from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import Phase, ReportedSlot, SlotError, WantedSlot

NOW = 1_800_000_000.0
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
FAILED = ReportedSlot(
    module="m",
    phase=Phase.FAILED,
    running=A,
    running_version=1,
    wanted=B,
    wanted_version=2,
    error=SlotError(code="cloud_unreachable", text="no route", step="fetch"),
    attempts=4,
    next_retry=NOW + 90,
    since=NOW - 30,
)
HEALTH = SlotHealth(module="m", version=1, digest=A, state="running")


def test_a_failure_is_told_with_its_code_step_attempts_and_next_try() -> None:
    found = explain_slot("s", FAILED, now=NOW)
    assert (found.wanted, found.running, found.phase) == ("m/2", "m/1", "failed")
    assert (found.error_code, found.error_step) == ("cloud_unreachable", "fetch")
    assert found.error == "cloud_unreachable: no route"
    assert (found.attempts, found.next_retry_s, found.since_s) == (4, 90.0, 30.0)
    assert WHAT_TO_DO["cloud_unreachable"] in found.advice
    assert "tried again by itself" in found.advice


def test_times_never_run_backwards() -> None:
    found = explain_slot("s", replace(FAILED, next_retry=NOW - 5, since=NOW + 5), now=NOW)
    assert (found.next_retry_s, found.since_s) == (0.0, 0.0)


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK])
@pytest.mark.parametrize("code", sorted(WHAT_TO_DO))
def test_every_code_is_explained_in_every_final_phase(phase: Phase, code: str) -> None:
    state = replace(FAILED, phase=phase, error=SlotError(code=code, text="x", step="prove"))
    assert explain_slot("s", state, now=NOW).advice.startswith(WHAT_TO_DO[code])


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_says_what_to_do_or_that_there_is_nothing(phase: Phase) -> None:
    advice = explain_slot("s", replace(FAILED, phase=phase, error=None), now=NOW).advice
    assert "nothing to do" in advice.lower() or phase in (
        Phase.FAILED,
        Phase.REJECTED,
        Phase.ROLLED_BACK,
        Phase.FETCHING,
    )
    assert advice


def test_a_slot_whose_turn_comes_later_says_so() -> None:
    waiting = replace(FAILED, phase=Phase.FETCHING, error=None)
    assert "waits its turn" in explain_slot("s", waiting, now=NOW).advice


def test_a_slot_that_was_never_reported_is_about_to_begin() -> None:
    wanted = WantedSlot(module="m", version=2, digest=B)
    found = explain_slot("s", None, now=NOW, wanted=wanted)
    assert (found.wanted, found.phase, found.next_retry_s) == ("m/2", "", None)
    assert "about to begin" in found.advice


def test_a_worker_that_ended_is_told_with_what_to_do_about_its_last_end() -> None:
    ended = replace(HEALTH, state="crashed", connected=False, last_crash="out_of_memory: 2 GB")
    state = replace(FAILED, phase=Phase.ACTIVE, error=None)
    advice = explain_slot("s", state, now=NOW, health=ended).advice
    assert "ended (out_of_memory: 2 GB)" in advice
    assert WHAT_TO_DO["out_of_memory"] in advice
    assert "nothing to do" not in advice


def test_a_failed_update_and_a_worker_without_a_broker_are_both_told() -> None:
    alone = replace(HEALTH, connected=False, error="refused")
    advice = explain_slot("s", FAILED, now=NOW, health=alone).advice
    assert WHAT_TO_DO["cloud_unreachable"] in advice
    assert "data broker is away: refused" in advice


@pytest.mark.parametrize("phase", [Phase.FETCHING, Phase.TRIAL, Phase.ACTIVE])
def test_a_worker_without_a_broker_is_one_advice(phase: Phase) -> None:
    alone = replace(HEALTH, connected=False, error="refused")
    state = replace(FAILED, phase=phase, error=None, next_retry=None)
    advice = explain_slot("s", state, now=NOW, health=alone).advice
    assert "data broker is away: refused" in advice
    assert "nothing to do" not in advice


@pytest.mark.parametrize("phase", list(Phase))
def test_only_an_unsettled_slot_has_an_error_of_now(phase: Phase) -> None:
    found = explain_slot("s", replace(FAILED, phase=phase), now=NOW)
    is_now = phase in (Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK)
    assert found.error_row == ("error" if is_now else "last error")
    assert explain_slot("s", replace(FAILED, phase=phase, error=None), now=NOW).error_row == "error"


def test_a_slot_that_is_held_says_why_and_nothing_else() -> None:
    held = explain_slot("s", replace(FAILED, phase=Phase.TRIAL), now=NOW, held="Two of them.")
    assert held.advice == "Two of them."


def test_a_worker_that_answers_is_no_trouble() -> None:
    assert worker_trouble(HEALTH) == ""
    assert worker_trouble(None) == ""
