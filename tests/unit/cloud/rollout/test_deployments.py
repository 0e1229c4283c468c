"""Deployments: what comes between looking at the fleet and writing is seen all the same."""

import pytest

from cloud_sync.errors import Conflict
from cloud_sync.fleet.desired import read_desired
from cloud_sync.resources import Deployment, ReplacedVersion
from edge_agent.contract.state import SlotConfig
from tests.support.cloud import Cloud, change
from tests.support.meanwhile import meanwhile

DEVICES = ("line-1", "line-2")


@pytest.fixture
def made(parts_of_cloud: Cloud) -> Cloud:
    for device in DEVICES:
        parts_of_cloud.parts.devices.register(device, change())
    for data in (b"1", b"2"):
        parts_of_cloud.publish(data=data)
    return parts_of_cloud


def wanted(made: Cloud, device: str) -> dict[str, int]:
    with made.parts.database.read() as connection:
        return {k: v.version for k, v in read_desired(connection, device).slots.items()}


def deploy(made: Cloud, version: int, to: str = "all") -> dict[str, int]:
    wish = Deployment(module="probe", version=version, to=to)
    return made.parts.deployments.deploy(wish, change()).revisions


def test_a_device_that_is_told_something_meanwhile_is_told_this_after_it(made: Cloud) -> None:
    meanwhile(made.parts.database, lambda: deploy(made, 1, "line-1"))
    wish = Deployment(module="probe", version=2, to="all")
    result = made.parts.deployments.deploy(wish, change())
    assert result.revisions == {"line-1": 2, "line-2": 1}
    assert result.replaced == {"line-1": ReplacedVersion(module="probe", version=1)}
    assert wanted(made, "line-1") == {"probe": 2}


def test_a_device_that_lost_the_version_meanwhile_gets_it_again(made: Cloud) -> None:
    deploy(made, 2)
    meanwhile(made.parts.database, lambda: deploy(made, 1, "line-1"))
    wish = Deployment(module="probe", version=2, to="all")
    result = made.parts.deployments.deploy(wish, change())
    assert result.revisions == {"line-1": 3}
    assert result.unchanged == ("line-2",)


def test_a_device_that_is_deleted_meanwhile_is_left_alone(made: Cloud) -> None:
    meanwhile(made.parts.database, lambda: made.parts.devices.delete("line-1", change()))
    assert deploy(made, 2) == {"line-2": 1}


def test_nobody_gets_what_does_not_fit_one_device_any_more(made: Cloud) -> None:
    around = SlotConfig(input_topic="out/+", output_topic="in/{1}")
    back = Deployment(module="probe", version=1, slot="twin", to="line-2", config=around)
    meanwhile(made.parts.database, lambda: made.parts.deployments.deploy(back, change()))
    with pytest.raises(Conflict) as caught:
        deploy(made, 2)
    assert caught.value.code == "topic_cycle"
    assert wanted(made, "line-1") == {}
    assert wanted(made, "line-2") == {"twin": 1}
    assert [one.id for one in made.parts.rollouts.query.search()] == ["r1"]


def test_a_version_that_is_retired_meanwhile_is_not_deployed(made: Cloud) -> None:
    meanwhile(made.parts.database, lambda: made.parts.modules.retire("probe", 2, change()))
    with pytest.raises(Conflict) as caught:
        deploy(made, 2)
    assert caught.value.code == "retired"
    assert wanted(made, "line-1") == {}
