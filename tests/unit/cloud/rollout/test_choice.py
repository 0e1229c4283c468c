"""Which version each device gets, and what that sends it."""

import re

import pytest

from cloud_sync.errors import InvalidInput
from cloud_sync.resources import ModuleVersion
from cloud_sync.rollout.choice import bytes_to_send, check_pattern, choose_each

PATTERN = "model-for-{device}"


def version(name: str, number: int = 1) -> ModuleVersion:
    return ModuleVersion(
        name=name,
        version=number,
        digest="sha256:" + "a" * 64,
        size=1,
        description="",
        license="",
        metrics={},
        created=0,
        created_by="ada",
    )


def test_each_device_gets_its_own_module_and_who_has_none_is_told() -> None:
    known = {"model-for-a": version("model-for-a"), "model-for-c": version("model-for-c", 4)}
    chosen = choose_each(PATTERN, None, ["a", "b", "c"], known)
    assert {d: (v.name, v.version) for d, v in chosen.versions.items()} == {
        "a": ("model-for-a", 1),
        "c": ("model-for-c", 4),
    }
    assert [(m.device, m.code) for m in chosen.missing] == [("b", "module_not_found")]
    assert "'model-for-b'" in chosen.missing[0].text


@pytest.mark.parametrize("pattern", ["model", "Model-{device}", "{device}/x"])
def test_a_pattern_that_gives_no_names_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"found {pattern!r}")):
        check_pattern(pattern)
    check_pattern(PATTERN)


def test_only_files_that_a_device_lacks_are_sent() -> None:
    files = {"new": {"model": 100, "golden": 5}, "old": {"golden": 5, "other": 9}}
    assert bytes_to_send("new", [], files) == 105
    assert bytes_to_send("new", ["old"], files) == 100
    assert bytes_to_send("new", ["old", "new"], files) == 0
    assert bytes_to_send("new", ["gone"], files) == 105
