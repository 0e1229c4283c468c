import pytest
from msgspec.structs import replace

from edge_agent.contract.scores import Profile, ScoreBins, profile_problem, score_output
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import ContractError

LABEL = TensorSpec("label", "int64", (-1,))
PROBABILITIES = TensorSpec("probabilities", "float32", (-1, 2))
NUMBERS = ScoreBins(edges=(0.25, 0.5), counts=(5, 3, 2, 0))
PROFILE = Profile(
    output="probabilities", columns=(NUMBERS, ScoreBins(edges=(0.5,), counts=(4, 6, 0)))
)


def test_scores_are_of_the_first_output_of_floats():
    assert score_output([LABEL, PROBABILITIES]) == 1
    assert score_output([LABEL]) == 0


def test_the_columns_stand_one_behind_the_other():
    assert PROFILE.rows == 10
    assert PROFILE.sizes == (4, 3)
    assert PROFILE.shares == (0.5, 0.3, 0.2, 0.0, 0.4, 0.6, 0.0)
    assert PROFILE.by_column((1, 2, 3, 4, 5, 6, 7)) == ((1, 2, 3, 4), (5, 6, 7))


def test_counts_of_another_profile_are_refused():
    with pytest.raises(ContractError, match="7 bins, found 3"):
        PROFILE.by_column((1, 2, 3))


def test_a_good_profile_has_no_problem():
    labels = ScoreBins(labels=(0, 1), counts=(5, 5, 0))
    assert profile_problem(PROFILE, [LABEL, PROBABILITIES]) == ""
    assert profile_problem(Profile(output="label", columns=(labels,)), [LABEL]) == ""


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (replace(PROFILE, output="label"), "output 'label'"),
        (replace(PROFILE, columns=(ScoreBins(counts=(1, 2)),)), "either edges or labels"),
        (replace(PROFILE, columns=(replace(NUMBERS, labels=(1,)),)), "either edges or labels"),
        (replace(PROFILE, columns=(replace(NUMBERS, counts=(5, 5)),)), "4 counts"),
        (replace(PROFILE, columns=(replace(NUMBERS, edges=(0.5, 0.5)),)), "rising"),
        (replace(PROFILE, columns=(replace(NUMBERS, counts=(0, 0, 0, 0)),)), "at least 1"),
        (replace(PROFILE, columns=(NUMBERS, replace(NUMBERS, counts=(1, 0, 0, 0)))), "as many"),
        (
            replace(PROFILE, columns=(ScoreBins(labels=("a", "a"), counts=(5, 5, 0)),)),
            "twice",
        ),
    ],
)
def test_a_profile_that_fits_nothing_is_named(profile: Profile, words: str):
    assert words in profile_problem(profile, [LABEL, PROBABILITIES])
