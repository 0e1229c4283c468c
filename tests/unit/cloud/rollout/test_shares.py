"""Stages and bounds that a person cannot mean are refused; all others are taken."""

import pytest

from cloud_sync.errors import InvalidInput
from cloud_sync.rollout.shares import check_shares
from cloud_sync.rollout_policy import AT_ONCE, Policy


@pytest.mark.parametrize(
    "stages",
    [
        ("1", "1%", "10%", "50%", "100%"),
        ("100%",),
        ("5", "20", "10%", "30"),  # of 400 devices these are 5, 20, 40, and none more
        ("0.5%", "0.75%"),
        ("7",),
    ],
)
def test_stages_that_grow_are_taken(stages: tuple[str, ...]) -> None:
    check_shares(Policy(stages=stages))


def test_the_policy_of_a_deployment_is_taken() -> None:
    check_shares(AT_ONCE)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        (("1", "200%"), "stage 2 of 1, 200% expected a part of 100 % at most, found 200%"),
        (("0", "100%"), "stage 1 of 0, 100% expected one device at least, found 0"),
        (("0%",), "expected one device at least, found 0%"),
        (("50%", "10%"), "expected more than the 50% before it, found 10%"),
        (("1", "50%", "1"), "stage 3 of 1, 50%, 1 expected more than the 1 before it, found 1"),
        (("10%", "10.0%"), "expected more than the 10% before it, found 10.0%"),
    ],
)
def test_stages_that_are_a_slip_of_the_pen_are_refused(stages: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        check_shares(Policy(stages=stages))
    assert caught.value.code == "stages_invalid"


@pytest.mark.parametrize("name", ["max_in_flight", "max_in_flight_per_site"])
def test_a_bound_of_more_than_all_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} expected a part of 100 % at most") as caught:
        check_shares(Policy(**{name: "150%"}))
    assert caught.value.code == "share_invalid"


@pytest.mark.parametrize("name", ["max_in_flight", "max_in_flight_per_site"])
@pytest.mark.parametrize("share", ["0", "0%", "0.0%"])
def test_a_bound_that_lets_nobody_through_is_refused(name: str, share: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} expected one device at least") as caught:
        check_shares(Policy(**{name: share}))
    assert caught.value.code == "share_invalid"
