"""Scores of simulated answers: as the profile says, or so far from it as the flaw says."""

import math
from itertools import pairwise

import pytest

from cloud_sync.rollout.drift import drift_of
from cloud_sync.rollout.observation import Measures
from cloud_sync.simulator.scores import CYCLE, ScoreCycle, drifted
from edge_agent.contract.scores import Profile, ScoreBins

NUMBERS = ScoreBins(edges=(0.1, 0.5, 0.9), counts=(50, 30, 15, 5, 0))
LABELS = ScoreBins(labels=("ok", "bad"), counts=(99, 1, 0))
PROFILE = Profile(output="score", columns=(NUMBERS, LABELS))
WORDS = (1, "sim-00001", "m")


def index_of(counts: tuple[int, ...], profile: Profile) -> float:
    """As the service's gate computes it."""
    measures = Measures(devices=1, scores=counts)
    found = drift_of(measures, profile.shares, profile.sizes, profile.rows)
    assert found is not None
    return found.mean


def test_each_answer_has_one_score_in_each_column() -> None:
    cycle = ScoreCycle(PROFILE)
    for answered in (0, 1, 7, CYCLE - 1, CYCLE, 3 * CYCLE + 5):
        columns = PROFILE.by_column(cycle.counts(answered, *WORDS))
        assert [sum(column) for column in columns] == [answered, answered]


def test_counts_never_go_down_and_one_answer_adds_one_score() -> None:
    cycle = ScoreCycle(PROFILE, psi=0.3)
    counts = [cycle.counts(answered, *WORDS) for answered in range(2 * CYCLE + 10)]
    for before, after in pairwise(counts):
        steps = [b - a for a, b in zip(before, after, strict=True)]
        assert sorted(steps) == [0] * (len(steps) - 2) + [1, 1]


def test_devices_begin_elsewhere_and_the_same_device_always_at_the_same_place() -> None:
    cycle = ScoreCycle(PROFILE)
    assert cycle.counts(33, *WORDS) == ScoreCycle(PROFILE).counts(33, *WORDS)
    found = {cycle.counts(33, 1, f"sim-{number}", "m") for number in range(20)}
    assert len(found) > 1


def test_a_sound_version_has_the_scores_of_its_profile() -> None:
    counts = ScoreCycle(PROFILE).counts(5000, *WORDS)
    assert counts == pytest.approx([5000 * share for share in PROFILE.shares], abs=25)
    assert counts[4] == counts[7] == 0  # nothing that is no score
    assert index_of(counts, PROFILE) < 0.02


@pytest.mark.parametrize("psi", [0.1, 0.3, 1.0, 3.0])
def test_a_drifting_version_is_as_far_away_as_its_flaw_says(psi: float) -> None:
    profile = Profile(output="score", columns=(NUMBERS,))
    found = index_of(ScoreCycle(profile, psi).counts(50_000, *WORDS), profile)
    assert found == pytest.approx(psi, rel=0.1)


def test_a_drift_that_no_scores_reach_is_the_largest_that_they_do() -> None:
    shares = drifted((10, 10, 0), 1e6)
    assert all(map(math.isfinite, shares))
    assert sum(shares) == pytest.approx(1)
    assert max(shares) > 0.99


def test_scores_that_are_all_the_same_can_drift() -> None:
    always = Profile(output="label", columns=(ScoreBins(labels=("ok",), counts=(100, 0)),))
    sound = ScoreCycle(always).counts(1000, *WORDS)
    assert sound == (1000, 0)
    assert index_of(ScoreCycle(always, psi=0.5).counts(10_000, *WORDS), always) > 0.25
