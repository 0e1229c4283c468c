"""Chance that can be repeated."""

import pytest

from cloud_sync.errors import InvalidInput
from cloud_sync.simulator.behaviour import Flaw
from cloud_sync.simulator.chance import Hits, chance, span
from cloud_sync.simulator.flaws import parse_flaw


def test_the_same_words_give_the_same_number_and_others_another() -> None:
    assert chance(1, "a", 2) == chance(1, "a", 2)
    assert len({chance(seed, *words) for seed in (1, 2) for words in (("a",), ("b",))}) == 4
    numbers = [chance(3, n) for n in range(1000)]
    assert 0.45 < sum(numbers) / 1000 < 0.55
    assert all(0 <= n < 1 for n in numbers)
    assert 5 <= span(1, 10, "x") < 15


def test_hits_do_not_depend_on_how_often_one_looks() -> None:
    often, once = Hits(0.2, 1, "x"), Hits(0.2, 1, "x")
    seen = [often.after(n) for n in range(5_001)]
    assert seen[-1] == once.after(5_000)
    assert seen == sorted(seen)
    assert all(hits <= n for n, hits in enumerate(seen))
    assert 850 < seen[-1] < 1150


@pytest.mark.parametrize(("share", "hits"), [(0.0, 0), (1.0, 777)])
def test_hits_that_are_certain(share: float, hits: int) -> None:
    assert Hits(share, 1).after(777) == hits


def test_a_flaw_is_read_as_people_write_it() -> None:
    assert parse_flaw("m/3 wrong=0.3 late=0.1") == Flaw(of="m/3", wrong=0.3, late=0.1)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("m/3", "for example"),
        ("m wrong=1", "for example"),
        ("m/3 wrnog=0.3", "'wrong'"),
        ("m/3 wrong=much", "found 'much'"),
        ("m/3 wrong=7", "wrong expected a number <= 1"),
    ],
)
def test_a_flaw_that_is_none_is_refused_with_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_flaw(text)
    assert hint in refused.value.hint
