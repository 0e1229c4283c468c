"""What a shadow says about its answers beside those of its slot."""

import numpy as np
import pytest

from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.comparison import Comparison, Outcome, difference_of
from edge_agent.runtime.scores import rows_of

SCORE = TensorSpec("score", "float32", (-1, 2))
LABEL = TensorSpec("label", "int64", (-1,))
NAMES = ("label", "score")


def array(*values, dtype: str = "float32"):
    return np.array(values, dtype=dtype)


def answer(label: int, *scores: float) -> Outcome:
    return Outcome([[np.array(label, dtype="int64"), array(*scores)]])


def comparison(**options) -> Comparison:
    given = {"of": "live", "version": 3, "names": NAMES, "outputs": (LABEL, SCORE)}
    return Comparison(tolerance=1e-3, **{**given, **options})


def health(compared: Comparison):
    return compared.health(shed={}, cpu_share=0.0)


@pytest.mark.parametrize(
    ("expected", "found", "is_within", "largest"),
    [
        (array(1.0, 2.0), array(1.0, 2.0), True, 0.0),
        (array(1.0, 2.0), array(1.0, 2.001), True, 0.001),
        (array(1.0, 2.0), array(1.0, 2.01), False, 0.01),
        (array(1000.0), array(1000.5), True, 0.5),
        (array(float("nan")), array(float("nan")), True, 0.0),
        (array(float("inf")), array(float("inf")), True, 0.0),
        (array(float("inf")), array(float("-inf")), False, 0.0),
        (array(float("nan")), array(1.0), False, 0.0),
        (array(1, dtype="int64"), array(1, dtype="int64"), True, 0.0),
        (array(1, dtype="int64"), array(2, dtype="int64"), False, 1.0),
        (array(1, dtype="int64"), array(1, dtype="int32"), True, 0.0),
        (array(1.0), array(1, dtype="int64"), False, 0.0),
        (array(1.0), array(1.0, 1.0), False, 0.0),
        (array("a", dtype="object"), array("a", dtype="object"), True, 0.0),
        (array("a", dtype="object"), array("b", dtype="object"), False, 0.0),
        (array(), array(), True, 0.0),
    ],
)
def test_arrays_are_the_same_within_the_tolerance(expected, found, is_within, largest):
    difference = difference_of(expected, found, 1e-3)
    assert difference.is_within is is_within
    assert difference.largest == pytest.approx(largest, rel=1e-3)


def test_agreement_and_the_largest_difference_are_counted():
    compared = comparison()
    compared.add(answer(1, 0.25, 0.75), answer(1, 0.25, 0.75))
    compared.add(answer(1, 0.25, 0.75), answer(1, 0.5, 0.5))
    compared.add(answer(1, 0.25, 0.75), answer(0, 0.25, 0.75))
    found = health(compared)
    assert (found.of, found.version, found.seen, found.agreed, found.failed) == ("live", 3, 3, 1, 0)
    assert found.max_difference == pytest.approx(1.0)


def test_answers_that_only_one_of_the_two_could_give_are_failures():
    compared = comparison()
    compared.add(answer(1, 0.25, 0.75), Outcome(None, "model_failed"))
    compared.add(Outcome(None, "field_missing"), answer(1, 0.25, 0.75))
    compared.add(Outcome(None, "field_missing"), Outcome(None, "field_missing"))
    compared.add(Outcome(None, "field_missing"), Outcome(None, "field_range"))
    found = health(compared)
    assert (found.seen, found.agreed, found.failed) == (4, 1, 2)


def test_messages_without_an_answer_are_not_counted_and_unlike_windows_are_left_out():
    compared = comparison()
    compared.add(Outcome(), Outcome())
    compared.add(Outcome(), answer(1, 0.25, 0.75))
    compared.add(answer(1, 0.25, 0.75), Outcome())
    compared.leave_out("x", 2)
    found = compared.health(shed={"full": 5, "x": 1}, cpu_share=0.123456)
    assert found.seen == 0
    assert found.shed == {"window": 1, "full": 5, "x": 3}
    assert found.cpu_share == 0.1235


def test_outputs_are_matched_by_name():
    compared = comparison(names=("other", "score", "label"))
    live = Outcome([[array(9.0), array(0.25, 0.75), np.array(1, dtype="int64")]])
    compared.add(live, answer(1, 0.25, 0.75))
    assert health(compared).agreed == 1


def test_versions_without_an_output_in_common_are_not_compared():
    compared = comparison(names=("other",))
    compared.add(Outcome([[array(9.0)]]), answer(1, 0.25, 0.75))
    assert (health(compared).seen, health(compared).shed) == (0, {"no_common_output": 1})


def test_another_number_of_runs_is_no_agreement():
    compared = comparison()
    run = answer(1, 0.25, 0.75).runs[0]
    compared.add(Outcome([run, run]), Outcome([run]))
    assert health(compared).agreed == 0


def test_the_distributions_of_scores_are_compared_column_by_column():
    compared = comparison()
    for number in range(400):
        share = number / 400
        compared.add(answer(1, 0.5, share), answer(1, 0.5, share))
    assert health(compared).psi == 0
    for number in range(400):
        compared.add(answer(1, 0.5, number / 400), answer(1, 0.5, 0.99))
    assert health(compared).psi > 0.25


def test_rows_of_one_message_are_scores_of_their_own():
    batch = Outcome([[array(*range(300), dtype="int64"), np.zeros((300, 2), dtype="float32")]])
    compared = comparison()
    compared.add(batch, batch)
    assert health(compared).psi == 0
    assert rows_of(np.zeros(3, "int64"), LABEL).shape == (3, 1)
    assert rows_of(np.zeros((), "int64"), LABEL).shape == (1, 1)
    assert rows_of(np.zeros(2, "float32"), SCORE).shape == (1, 2)
    assert rows_of(np.zeros((5, 2), "float32"), SCORE).shape == (5, 2)


def test_few_scores_give_no_index():
    compared = comparison()
    compared.add(answer(1, 0.25, 0.75), answer(1, 0.25, 0.75))
    assert health(compared).psi is None
