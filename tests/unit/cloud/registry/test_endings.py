"""Many versions taken out of use or deleted by a pattern."""

import pytest

from cloud_sync.errors import InUse, InvalidInput
from cloud_sync.resources import Deployment, EndedVersions, EndingWish, ModuleVersion
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutWish
from tests.support.cloud import Cloud, change


@pytest.fixture
def made(parts_of_cloud: Cloud) -> Cloud:
    """Three modules, each of two versions, and a device."""
    for name in ("model-for-a", "model-for-b", "other"):
        for data in (b"1", b"2"):
            parts_of_cloud.publish(name, data=data, reads=f"{name}/+", writes=f"{name}-out/{{1}}")
    parts_of_cloud.parts.devices.register("a", change())
    return parts_of_cloud


def retire(made: Cloud, **wish: object) -> EndedVersions:
    return made.parts.endings.retire(EndingWish(**wish), change())  # type: ignore[arg-type]


def delete(made: Cloud, **wish: object) -> EndedVersions:
    return made.parts.endings.delete(EndingWish(**wish), change())  # type: ignore[arg-type]


def left(made: Cloud, *, is_retired: bool | None = False) -> list[str]:
    found: list[ModuleVersion] = made.parts.modules.search(is_retired=is_retired)
    return [f"{one.name}/{one.version}" for one in found]


def test_all_but_the_newest_are_retired(made: Cloud) -> None:
    would = retire(made, kind="module", name="model-for-*", keep=1, dry_run=True)
    assert would.ended == ("model-for-a/1", "model-for-b/1")
    assert len(left(made)) == 6
    assert retire(made, kind="module", name="model-for-*", keep=1) == would
    assert left(made) == ["model-for-a/2", "model-for-b/2", "other/2", "other/1"]
    again = retire(made, kind="module", name="model-for-*", keep=1)
    assert (again.ended, {one.reason for one in again.kept}) == ((), {"retired before"})


def test_what_a_device_should_run_stays(made: Cloud) -> None:
    made.parts.deployments.deploy(Deployment(module="model-for-a", to="a"), change())
    result = delete(made, kind="module", name="model-for-?")
    assert result.ended == ("model-for-a/1", "model-for-b/2", "model-for-b/1")
    assert [one.ref for one in result.kept] == ["model-for-a/2"]
    assert left(made, is_retired=None) == ["model-for-a/2", "other/2", "other/1"]


def test_one_version_of_many_modules_is_meant_by_its_number(made: Cloud) -> None:
    assert delete(made, kind="module", name="*", version=1).ended == (
        "model-for-a/1",
        "model-for-b/1",
        "other/1",
    )


def test_models_that_running_modules_were_made_of_stay(made: Cloud) -> None:
    for name in ("left", "kept"):
        made.register(name)
    made.publish("of-kept", reads="of/+", writes="of-out/{1}", source="kept/1")
    made.parts.deployments.deploy(Deployment(module="of-kept", to="a"), change())
    result = delete(made, kind="model", name="*")
    assert (result.ended, [one.ref for one in result.kept]) == (("left/1",), ["kept/1"])


def test_what_a_rollout_brings_and_what_it_goes_back_to_is_kept(made: Cloud) -> None:
    made.parts.devices.register("b", change())
    made.parts.deployments.deploy(Deployment(module="other", version=1, to="a"), change())
    policy = Policy(shadow_stages=0)
    wish = RolloutWish(module="other", to="all", policy=policy)
    made.parts.rollouts.create(wish, change(), start=True)
    result = delete(made, kind="module", name="other")
    assert (result.ended, [one.ref for one in result.kept]) == ((), ["other/2", "other/1"])
    with pytest.raises(InUse):
        made.parts.modules.delete("other", 2, change())


def test_a_pattern_that_means_nothing_is_refused(made: Cloud) -> None:
    with pytest.raises(InvalidInput, match="no module matches 'modl-\\*'") as caught:
        retire(made, kind="module", name="modl-*")
    assert caught.value.code == "module_not_found"
