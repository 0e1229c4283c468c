"""Which devices an expression means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import NotFound
from cloud_sync.fleet.expression_reader import read_expression
from cloud_sync.fleet.selection import Fleet, Version, check_meant, nobody, select

WINE_1, WINE_2, SHUTTLE_2 = Version("wine", 1), Version("wine", 2), Version("shuttle", 2)
FLEET = Fleet(
    devices=frozenset({"line-1", "line-2", "pump", "lab-1"}),
    tags={
        "site": {"oslo": frozenset({"line-1", "line-2"}), "bergen": frozenset({"lab-1"})},
        "lab": {"yes": frozenset({"lab-1"})},
        "model": {"v9": frozenset({"pump"})},
    },
    groups={"winter": frozenset({"line-2", "pump"}), "empty": frozenset()},
    slots={
        "model": {WINE_1: frozenset({"line-1", "pump"}), WINE_2: frozenset({"line-2"})},
        "other": {SHUTTLE_2: frozenset({"lab-1"})},
    },
)


def meant(text: str, fleet: Fleet = FLEET) -> set[str]:
    return set(select(read_expression(text), fleet))


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("all", "line-1 line-2 pump lab-1"),
        ("pump", "pump"),
        ("line-?", "line-1 line-2"),
        ("site=oslo", "line-1 line-2"),
        ("site=*e*", "lab-1"),
        ("site!=oslo", "pump lab-1"),
        ("tag:site", "line-1 line-2 lab-1"),
        ("not tag:site", "pump"),
        ("tag:site=bergen", "lab-1"),
        ("group:winter", "line-2 pump"),
        ("group:empty", ""),
        ("site=oslo and model!=v1 and not tag:lab", "line-2"),
        ("model=v1", "line-1"),
        ("model=v9", "pump"),
        ("tag:model=v1", ""),
        ("slot:model=v1", "line-1 pump"),
        ("slot:other", "lab-1"),
        ("module=wine", "line-1 line-2 pump"),
        ("module=wine/1", "line-1 pump"),
        ("module=*/2", "line-2 lab-1"),
        ("pump or site=oslo and not line-1", "pump line-2"),
    ],
)
def test_an_expression_means_devices(text: str, devices: str) -> None:
    assert meant(text) == set(devices.split())


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("pum", "device_not_found", "'pump'"),
        ("all and not pum", "device_not_found", "'pump'"),
        ("group:winte or pump", "group_not_found", "'winter'"),
    ],
)
def test_a_name_that_nobody_has_is_refused_wherever_it_stands(
    text: str, code: str, words: str
) -> None:
    with pytest.raises(NotFound, match=words) as caught:
        check_meant(read_expression(text), FLEET)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("site=osl", r"no device has the tag site=osl \(did you mean 'site=oslo'"),
        ("model=v7", r"no device runs version 7 in slot model \(versions that run there: v1, v2"),
        ("all and model=v7", r"none matches model=v7 \(versions that run there: v1, v2"),
        ("oven=v7", "no device has the tag oven=v7"),
        ("all and site=osl", "none matches site=osl"),
        ("site=oslo and tag:lab", "its parts mean devices"),
        ("tag:nothing", "no device matches tag:nothing"),
    ],
)
def test_an_expression_that_means_nobody_says_which_part(text: str, words: str) -> None:
    error = nobody(read_expression(text), FLEET, ["site=oslo", "site=bergen", "lab=yes"])
    assert error.code == "device_not_found"
    with pytest.raises(NotFound, match=words):
        raise error


def test_an_empty_fleet_says_how_devices_become_known() -> None:
    error = nobody(read_expression("all"), Fleet(devices=frozenset()), [])
    assert (error.code, "start an edge-agent" in error.hint) == ("no_devices", True)


PARTS = st.sampled_from(
    ["all", "pump", "line-*", "site=oslo", "tag:lab", "model=v1", "group:winter"]
)


@given(PARTS, PARTS, PARTS)
def test_words_mean_what_they_mean_of_sets(a: str, b: str, c: str) -> None:
    everybody = meant("all")
    assert meant(f"{a} and {b} or {c}") == (meant(a) & meant(b)) | meant(c)
    assert meant(f"{a} and ({b} or not {c})") == meant(a) & (meant(b) | (everybody - meant(c)))
    assert meant(f"not ({a} or {b})") == everybody - meant(a) - meant(b)
