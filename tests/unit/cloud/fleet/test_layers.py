"""Layers of configuration: which value holds, where it is from, and whom a change concerns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.errors import Conflict, InvalidInput, NotFound
from cloud_sync.fleet.configuration import Configuration
from cloud_sync.fleet.desired import read_desired, read_orders, write_desired
from cloud_sync.fleet.groups import Groups
from cloud_sync.fleet.layers import (
    SLOT_KEYS,
    Value,
    check_value,
    effective_config,
    explain_slot,
    ordered,
)
from cloud_sync.fleet.renewal import BATCH
from cloud_sync.fleet_resources import ConfigChange, ConfigChanged, GroupChange
from cloud_sync.resources import Deployment, TagChange
from edge_agent.contract.state import DesiredState, SlotConfig, WantedSlot
from tests.support.cloud import NOW, Cloud, change
from tests.support.crowd import crowd
from tests.support.letters import letter, reported

WANTED = WantedSlot(module="probe", version=1, digest="sha256:" + "a" * 64)


def value(text: str, layer: str = "fleet", **more: object) -> Value:
    name = "" if layer == "fleet" else "x"
    given = {"layer": layer, "name": name, "key": "uplink", "value": text} | more
    return Value(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "own", "uplink"),
    [
        ([], "", ""),
        ([value("all")], "", "all"),
        ([value("all")], "none", "none"),
        ([value("none", "group"), value("all")], "", "none"),
        ([value("none", "device"), value("all", "group")], "", "none"),
        ([value("none", "group", rank=1, name="a"), value("all", "group", name="b")], "", "none"),
        ([value("none", "group", name="b"), value("all", "group", name="a")], "", "none"),
        ([value("none", slot="s"), value("all")], "", "none"),
        ([value("none", slot="s"), value("all", "device")], "", "all"),
        ([value("none", slot="other")], "", ""),
    ],
)
def test_the_nearest_layer_holds(values: list[Value], own: str, uplink: str) -> None:
    config = effective_config(ordered(values), "s", SlotConfig(uplink=own))
    assert config == SlotConfig(uplink=uplink)


@given(
    st.lists(
        st.builds(
            Value,
            layer=st.sampled_from(["fleet", "group", "device"]),
            name=st.sampled_from(["", "a", "b"]),
            rank=st.integers(0, 2),
            slot=st.sampled_from(["", "s", "t"]),
            key=st.sampled_from(SLOT_KEYS),
            value=st.sampled_from(["1", "2"]),
        )
    ),
    st.sampled_from([SlotConfig(), SlotConfig(uplink="3"), SlotConfig(input_topic="4")]),
)
def test_what_is_shown_is_what_holds(values: list[Value], own: SlotConfig) -> None:
    layers = ordered(values)
    wanted = WantedSlot(module="m", version=1, digest=WANTED.digest, config=own)
    shown = {s.key: s.value for s in explain_slot(layers, "s", wanted, None)}
    config = effective_config(layers, "s", own)
    assert shown == {key: getattr(config, key) for key in SLOT_KEYS if getattr(config, key)}


@pytest.mark.parametrize(
    ("key", "slot", "text", "words"),
    [
        ("uplnk", "", "all", "did you mean 'uplink'"),
        ("uplink", "", "some", "uplink expected all, changes"),
        ("input_topic", "", "a/b", "expected a slot"),
        ("input_topic", "s", "a/#/b", "'#'"),
        ("health_interval_s", "s", "5", "concerns the agent"),
        ("health_interval_s", "", "0.1", "seconds from 1"),
        ("health_interval_s", "", "soon", "seconds from 1"),
    ],
)
def test_a_value_that_is_none_is_refused(key: str, slot: str, text: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        check_value(key, slot, text)
    assert caught.value.code == "config_invalid"


class Fleet:
    """Two devices of which one is in a group, both with the module `probe`."""

    def __init__(self, made: Cloud) -> None:
        self.cloud = made
        self.configuration = Configuration(made.parts.database, made.publisher)
        self.groups = Groups(made.parts.database, made.publisher)
        for device in ("line-1", "line-2"):
            made.parts.devices.register(device, change())
        made.publish()

    def deploy(self, **wish: object) -> dict[str, int]:
        wanted = Deployment(module="probe", **({"to": "all"} | wish))  # type: ignore[arg-type]
        return self.cloud.parts.deployments.deploy(wanted, change()).revisions

    def set(self, layer: str = "fleet", name: str = "", **wish: object) -> ConfigChanged:
        wanted = ConfigChange(layer=layer, name=name, **wish)  # type: ignore[arg-type]
        return self.configuration.change(wanted, change())

    def told(self, device: str = "line-1") -> DesiredState:
        with self.cloud.parts.database.read() as connection:
            return read_desired(connection, device)

    def uplink(self, device: str = "line-1") -> str:
        return self.told(device).slots["probe"].config.uplink

    def own(self, device: str = "line-1") -> SlotConfig:
        with self.cloud.parts.database.read() as connection:
            return read_orders(connection, device).slots["probe"].config


@pytest.fixture
def fleet(parts_of_cloud: Cloud) -> Fleet:
    return Fleet(parts_of_cloud)


def test_a_change_tells_exactly_the_devices_whose_values_change(fleet: Fleet) -> None:
    fleet.deploy(to="line-1")
    fleet.deploy(to="line-2", config=SlotConfig(uplink="none"))
    fleet.cloud.publisher.publish_due()
    fleet.cloud.line.published.clear()
    result = fleet.set(set={"uplink": "all"})
    assert (result.revisions, result.unchanged) == ({"line-1": 2}, 1)
    assert (fleet.uplink("line-1"), fleet.uplink("line-2")) == ("all", "none")
    fleet.cloud.publisher.publish_due()
    assert [topic.split("/")[2] for topic, _ in fleet.cloud.line.published] == ["line-1"]
    assert fleet.set(set={"uplink": "all"}).revisions == {}
    assert fleet.set(unset=("uplink",)).revisions == {"line-1": 3}
    assert fleet.uplink() == ""


def test_a_change_that_concerns_thousands_keeps_what_each_deployment_said(fleet: Fleet) -> None:
    names = [f"many-{number}" for number in range(2 * BATCH + 1)]
    crowd(fleet.cloud, names)
    fleet.deploy(to="all", config=SlotConfig(output_topic="own/out"))
    result = fleet.set(set={"uplink": "all"})
    assert result.revisions == dict.fromkeys([*names, "line-1", "line-2"], 2)
    for name in (names[0], names[BATCH], names[-1]):
        assert fleet.told(name).revision == 2
        assert fleet.told(name).slots["probe"].config.uplink == "all"
        assert fleet.own(name) == SlotConfig(output_topic="own/out")


def test_a_deployment_after_a_change_gets_the_layers_and_keeps_its_own_part(fleet: Fleet) -> None:
    fleet.set(set={"uplink": "all", "health_interval_s": "5"})
    fleet.deploy(config=SlotConfig(input_topic="other/+"))
    config = fleet.told().slots["probe"].config
    assert config == SlotConfig(input_topic="other/+", uplink="all")
    assert fleet.told().settings.health_interval_s == 5
    assert fleet.own() == SlotConfig(input_topic="other/+")
    assert fleet.deploy(config=SlotConfig(input_topic="other/+")) == {}


def test_going_back_brings_the_own_part_and_the_layers_of_now(fleet: Fleet) -> None:
    fleet.deploy(config=SlotConfig(input_topic="old/+"))
    database = fleet.cloud.parts.database
    with database.read() as connection:
        previous = read_orders(connection, "line-1").slots["probe"]
    fleet.deploy(config=SlotConfig(input_topic="new/+", uplink="none"))
    fleet.set(set={"uplink": "all"})
    assert fleet.uplink() == "none"
    with database.write() as connection:
        before = read_orders(connection, "line-1")
        write_desired(connection, before, {"probe": previous}, NOW)
    assert fleet.told().slots["probe"].config == SlotConfig(input_topic="old/+", uplink="all")


def test_a_slot_that_is_taken_over_keeps_its_own_part(fleet: Fleet) -> None:
    fleet.set(set={"uplink": "all"})
    fleet.deploy(config=SlotConfig(input_topic="old/+"))
    fleet.cloud.publish("second", data=b"2", reads="second/+", writes="second-out/{1}")
    wanted = Deployment(module="second", to="all")
    fleet.cloud.parts.deployments.deploy(wanted, change())
    # The service answers a device that has seen more than it knows of.
    fleet.cloud.ingest.write([letter(reported("line-1", revision_seen=40))])
    assert fleet.told().revision == 41
    assert fleet.own() == SlotConfig(input_topic="old/+")


def test_a_group_configures_its_members_while_they_are_in_it(fleet: Fleet) -> None:
    fleet.deploy()
    fleet.groups.change("winter", GroupChange(add="line-2"), change())
    assert fleet.set("group", "winter", set={"uplink": "all"}).revisions == {"line-2": 2}
    both = fleet.groups.change("winter", GroupChange(add="line-*"), change())
    assert (both.added, both.revisions) == (("line-1",), {"line-1": 2})
    left = fleet.groups.change("winter", GroupChange(remove="line-2"), change())
    assert (left.removed, left.revisions) == (("line-2",), {"line-2": 3})
    assert (fleet.uplink("line-1"), fleet.uplink("line-2")) == ("all", "")
    assert fleet.groups.get("winter").devices == ("line-1",)
    fleet.groups.delete("winter", change())
    assert (fleet.uplink("line-1"), fleet.configuration.values()) == ("", [])


def test_the_higher_of_two_groups_goes_first_whenever_that_is_said(fleet: Fleet) -> None:
    fleet.deploy(to="line-1")
    for name, uplink in (("a", "all"), ("b", "none")):
        fleet.groups.change(name, GroupChange(add="line-1"), change())
        fleet.set("group", name, set={"uplink": uplink})
    assert fleet.uplink() == "none"
    assert fleet.groups.change("a", GroupChange(rank=1), change()).revisions == {"line-1": 4}
    assert fleet.uplink() == "all"


def test_what_holds_is_shown_with_where_it_is_from(fleet: Fleet) -> None:
    fleet.deploy(config=SlotConfig(output_topic="mine/{1}"))
    fleet.set(set={"uplink": "all", "health_interval_s": "5"})
    fleet.set("device", "line-1", slot="probe", set={"uplink": "changes"})
    shown = {
        (s.slot, s.key): (s.value, s.origin, [(o.value, o.origin) for o in s.overridden])
        for s in fleet.configuration.effective("line-1")
    }
    assert shown == {
        ("", "health_interval_s"): ("5", "fleet", []),
        ("probe", "input_topic"): ("in/+", "module", []),
        ("probe", "output_topic"): ("mine/{1}", "deployment", [("out/{1}", "module")]),
        ("probe", "uplink"): ("changes", "device", [("all", "fleet"), ("none", "module")]),
    }


def test_a_change_that_one_device_cannot_have_changes_nothing(fleet: Fleet) -> None:
    fleet.deploy()
    with pytest.raises(InvalidInput, match=r"probe on line-1.*read again") as misfit:
        fleet.set(slot="probe", set={"input_topic": "out/+"})
    assert misfit.value.code == "config_misfit"
    fleet.cloud.publish("second", data=b"2", reads="second/+", writes="second-out/{1}")
    fleet.cloud.parts.deployments.deploy(Deployment(module="second", to="line-2"), change())
    fleet.set("device", "line-2", slot="second", set={"input_topic": "out/+"})
    with pytest.raises(Conflict, match="line-2: probe -> second -> probe"):
        fleet.set(slot="probe", set={"input_topic": "second-out/+"})
    assert (fleet.told().revision, len(fleet.configuration.values())) == (1, 1)


def test_a_rehearsal_says_whom_it_concerns_and_changes_nothing(fleet: Fleet) -> None:
    fleet.deploy()
    would = fleet.set(set={"uplink": "all"}, dry_run=True)
    assert would.revisions == {"line-1": 2, "line-2": 2}
    assert (fleet.uplink(), fleet.configuration.values()) == ("", [])


def test_a_shadow_gets_no_configuration(fleet: Fleet) -> None:
    fleet.deploy()
    fleet.cloud.publish(data=b"2")
    fleet.deploy(shadows="probe")
    assert fleet.set(set={"uplink": "all"}).revisions == {"line-1": 3, "line-2": 3}
    assert fleet.told().slots["probe-shadow"].config == SlotConfig()


def test_what_is_not_there_cannot_be_configured(fleet: Fleet) -> None:
    with pytest.raises(NotFound, match="'line-1'"):
        fleet.set("device", "lin-1", set={"uplink": "all"})
    with pytest.raises(NotFound, match="no group is named 'summer'"):
        fleet.set("group", "summer", set={"uplink": "all"})
    with pytest.raises(NotFound, match="no group is named 'summer'"):
        fleet.groups.change("summer", GroupChange(rank=3), change())
    with pytest.raises(InvalidInput, match="layer 'group' expected a name"):
        fleet.set("group", set={"uplink": "all"})


def test_a_device_that_is_forgotten_takes_its_configuration_along(fleet: Fleet) -> None:
    fleet.set("device", "line-2", set={"uplink": "all"})
    fleet.groups.change("winter", GroupChange(add="all"), change())
    fleet.cloud.parts.devices.delete("line-2", change())
    assert fleet.configuration.values() == []
    assert fleet.groups.get("winter").devices == ("line-1",)
    fleet.cloud.parts.devices.tag("line-1", TagChange(set={"site": "oslo"}), change())
    found = fleet.cloud.parts.devices.search(
        name="*", tags={}, now=NOW, limit=9, offset=0, where="site=oslo and group:winter"
    )
    assert [device.device for device in found] == ["line-1"]
