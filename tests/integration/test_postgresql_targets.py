"""Targets, groups, layers and endings on a real PostgreSQL: the same as on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.fleet.resolve import matching
from cloud_sync.fleet_resources import ConfigChange, GroupChange
from cloud_sync.resources import Deployment, EndingWish, TagChange
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutWish
from edge_agent.contract.state import SlotConfig
from tests.support.cloud import NOW, Cloud, change, cloud
from tests.support.postgresql import PostgresqlServer

pytestmark = pytest.mark.needs("postgresql")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    running = PostgresqlServer()
    running.create()
    running.start()
    yield running
    running.stop()
    running.remove()


@pytest.fixture
def made(server: PostgresqlServer, tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path, server.new_database()) as parts:
        for device, site in (("line-1", "oslo"), ("line-2", "oslo"), ("pump", "bergen")):
            parts.parts.devices.register(device, change())
            parts.parts.devices.tag(device, TagChange(set={"site": site}), change())
        parts.publish()
        yield parts


def test_devices_are_meant_grouped_and_configured(made: Cloud) -> None:
    parts = made.parts
    parts.groups.change("winter", GroupChange(add="site=oslo and not line-2 or pump"), change())
    with parts.database.read() as connection:
        assert matching(connection, "group:winter and site=o*") == ("line-1",)
        assert matching(connection, "slot:probe or module=probe or probe=v1") == ()
    assert [group.size for group in parts.groups.all()] == [2]
    own = SlotConfig(uplink="none")
    parts.deployments.deploy(Deployment(module="probe", to="pump", config=own), change())
    parts.deployments.deploy(Deployment(module="probe", to="line-*"), change())
    wish = ConfigChange(layer="group", name="winter", set={"uplink": "all"})
    assert parts.configuration.change(wish, change()).revisions == {"line-1": 2}
    uplinks = {
        device: parts.devices.get(device, NOW).desired.slots["probe"].config.uplink
        for device in ("line-1", "line-2", "pump")
    }
    assert uplinks == {"line-1": "all", "line-2": "", "pump": "none"}
    shown = {s.key: s.origin for s in parts.configuration.effective("line-1")}
    assert shown["uplink"] == "group winter"
    parts.groups.delete("winter", change())
    assert parts.configuration.values() == []


def test_each_device_gets_its_own_and_versions_end_by_pattern(made: Cloud) -> None:
    parts = made.parts
    for device in ("line-1", "line-2"):
        name = f"for-{device}"
        made.publish(name, data=name.encode(), reads=f"{name}/+", writes=f"{name}-out/{{1}}")
    wish = RolloutWish(
        module="for-{device}", to="all", per_device=True, slot="own", policy=Policy(shadow_stages=0)
    )
    plan = parts.rollouts.plan(wish, change())
    assert [(one.device, one.code) for one in plan.unfit] == [("pump", "module_not_found")]
    assert (plan.cohort, plan.bytes_to_send > 0) == (2, True)
    parts.rollouts.create(wish, change(), start=True)
    ended = parts.endings.delete(EndingWish(kind="module", name="*"), change())
    assert ended.ended == ("probe/1",)
    assert [one.ref for one in ended.kept] == ["for-line-1/1", "for-line-2/1"]
