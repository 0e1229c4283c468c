from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.demo.score import Answer, Confusion, Scorer, confusion, quantile

TRUTH = [0, 1, 1, 0, 1]
OFFLINE = {1: [0, 1, 0, 0, 1], 2: [0, 1, 1, 1, 1]}


def scorer_with(*answers: tuple[int, int, int]) -> Scorer:
    scorer = Scorer(TRUTH, OFFLINE)
    for row, version, label in answers:
        scorer.add(Answer(row, version, label, "line-1", 1.0 + row))
    return scorer


def test_a_perfect_replay_has_nothing_to_complain_about():
    scorer = scorer_with(*((r, 1, OFFLINE[1][r]) for r in range(3)), (3, 2, 1), (4, 2, 1))
    verdict = scorer.verdict(range(5))
    assert verdict.complaints([1, 2]) == ()
    assert verdict.f1_mqtt == verdict.f1_offline
    assert verdict.answered_by == {1: 3, 2: 2}
    assert verdict.mqtt == Confusion(found=2, missed=1, false_alarms=1, normal=1)


def test_a_lost_row_a_second_answer_and_a_changed_label_are_told_apart():
    scorer = scorer_with((0, 1, 0), (1, 1, 0), (1, 1, 0), (3, 2, 1))
    verdict = scorer.verdict(range(4))
    assert (verdict.lost, verdict.duplicated, verdict.differing) == (1, 1, 1)
    said = " ".join(verdict.complaints([1, 2]))
    for word in ("never answered", "more than once", "differ"):
        assert word in said


def test_a_version_that_never_answered_is_named():
    verdict = scorer_with((0, 1, 0)).verdict([0])
    assert verdict.complaints([1, 2]) == ("version 2 never answered",)


def test_a_replay_of_nothing_is_no_success():
    assert scorer_with().verdict([]).complaints([]) == ("no row was sent",)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=50))
def test_f1_is_the_harmonic_mean_of_precision_and_recall(pairs: list[tuple[int, int]]):
    counts = confusion([t for t, _ in pairs], [p for _, p in pairs])
    assert counts.found + counts.missed + counts.false_alarms + counts.normal == len(pairs)
    if counts.found:
        precision = counts.found / (counts.found + counts.false_alarms)
        recall = counts.found / (counts.found + counts.missed)
        assert abs(counts.f1 - 2 * precision * recall / (precision + recall)) < 1e-12
    else:
        assert counts.f1 == 0.0


def test_quantiles_of_few_values():
    assert quantile([], 0.5) == 0.0
    assert quantile([1.0], 0.99) == 1.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
