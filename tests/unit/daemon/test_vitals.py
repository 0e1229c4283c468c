"""The signs of a worker, as they are gathered."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from edge_agent.contract.messages import SlotHealth
from edge_agent.daemon.vitals import Vitals, model_errors
from edge_agent.reconcile.fitness import LONGEST_TICK_S, Signs
from edge_agent.runtime.run_mark import RunMark


@pytest.fixture
def vitals() -> Iterator[Vitals]:
    one = Vitals()
    one.begin(0.0)
    yield one
    one.close()


def health(answered: int = 0, **failed: int) -> SlotHealth:
    return SlotHealth(
        module="m", version=1, digest="", state="running", messages_out=answered, failed=failed
    )


def look(
    vitals: Vitals, now: float, *, is_connected: bool = True, is_broker_there: bool = True
) -> Signs:
    return vitals.look(
        now, is_loading=False, is_connected=is_connected, is_broker_there=is_broker_there
    )


def test_silence_adds_up_until_something_is_heard(vitals: Vitals) -> None:
    assert [look(vitals, now).silent_s for now in (0.0, 1.0, 2.0)] == [0.0, 1.0, 2.0]
    vitals.heard()
    assert look(vitals, 3.0).silent_s == 1.0


def test_an_agent_that_slept_does_not_blame_its_workers(vitals: Vitals) -> None:
    look(vitals, 0.0)
    assert look(vitals, 3600.0).silent_s == LONGEST_TICK_S


def test_a_worker_is_cut_off_only_while_another_is_not(vitals: Vitals) -> None:
    look(vitals, 0.0)
    assert look(vitals, 1.0, is_connected=False).cut_off_s == 1.0
    assert look(vitals, 2.0, is_connected=False, is_broker_there=False).cut_off_s is None
    assert look(vitals, 3.0, is_connected=False).cut_off_s == 1.0
    assert look(vitals, 4.0).cut_off_s is None


def test_failing_is_timed_from_the_first_error_to_the_next_answer(vitals: Vitals) -> None:
    look(vitals, 0.0)
    vitals.count(health(), {})
    assert look(vitals, 1.0).failing_s is None
    vitals.count(health(model_failed=1), {})
    assert look(vitals, 2.0).failing_s == 1.0
    vitals.count(health(model_failed=1), {})
    assert look(vitals, 3.0).failing_s == 2.0
    vitals.restarted_as_a_cure()
    assert look(vitals, 3.0).cures == 1
    vitals.count(health(answered=1, model_failed=2), {})
    signs = look(vitals, 4.0)
    assert (signs.failing_s, signs.cures) == (None, 0)


def test_what_the_process_notes_is_seen_and_the_next_one_begins_with_nothing(
    vitals: Vitals,
) -> None:
    worker = RunMark(vitals.page)
    worker.limit(7.0)
    worker.begin([1], 3.0)
    signs = look(vitals, 5.0)
    assert (signs.run_s, signs.run_limit_s) == (2.0, 7.0)
    worker.end()
    assert vitals.runs == 1
    vitals.begin(6.0)
    assert vitals.runs == 0


def test_runs_that_take_too_long_are_the_models_failing_and_bad_input_is_not() -> None:
    failed = {"run_timeout": 2, "model_failed": 1, "field_missing": 5, "reply_refused": 1}
    assert model_errors(replace(health(), failed=failed)) == 3


def test_what_the_model_fails_with_most_often_is_kept_for_one_process(vitals: Vitals) -> None:
    texts = {"model_failed": "Gather:\n idx 7", "internal": "x", "field_missing": "no field 'a'"}
    vitals.count(health(field_missing=9, internal=1, model_failed=2), texts)
    assert vitals.model_error == "model_failed: Gather: idx 7"
    vitals.count(health(run_timeout=1), {})
    assert vitals.model_error == "run_timeout"
    vitals.count(health(field_missing=9), texts)
    assert vitals.model_error == ""
    vitals.count(health(internal=1), texts)
    vitals.begin(1.0)
    assert vitals.model_error == ""
