"""Devices, deployments and what reaches the devices."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from cloud_sync.db.audit import entries
from cloud_sync.errors import Conflict, InvalidInput, NotFound
from cloud_sync.resources import AuditEntry, Deployment, Removal, TagChange
from edge_agent.contract.messages import Status
from edge_agent.contract.state import DesiredState, SlotConfig
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import decode
from tests.support.cloud import NOW, Cloud, change
from tests.support.device import await_value
from tests.support.letters import letter, reported, status


def deploy(made: Cloud, to: str = "all", **wish: object) -> dict[str, int]:
    wanted = Deployment(module="probe", to=to, **wish)  # type: ignore[arg-type]
    return made.parts.deployments.deploy(wanted, change()).revisions


@pytest.fixture
def fleet(parts_of_cloud: Cloud) -> Cloud:
    """Two known devices, one of them tagged, and a published module."""
    devices = parts_of_cloud.parts.devices
    for device in ("line-1", "line-2"):
        devices.register(device, change())
    devices.tag("line-2", TagChange(set={"site": "north"}), change())
    parts_of_cloud.publish()
    return parts_of_cloud


def audit_of(fleet: Cloud) -> list[AuditEntry]:
    with fleet.parts.database.read() as connection:
        return list(entries(connection, limit=10))


def test_a_deployment_changes_its_targets_and_only_those(fleet: Cloud) -> None:
    assert deploy(fleet, to="site=north") == {"line-2": 1}
    result = fleet.parts.deployments.deploy(Deployment(module="probe", to="all"), change())
    assert (result.revisions, result.unchanged) == ({"line-1": 1}, ("line-2",))


def test_the_revision_only_goes_up(fleet: Cloud) -> None:
    assert deploy(fleet, to="line-1") == {"line-1": 1}
    assert deploy(fleet, to="line-1", slot="second") == {"line-1": 2}
    removal = Removal(slot="probe", to="line-1")
    assert fleet.parts.deployments.remove(removal, change()).revisions == {"line-1": 3}
    assert list(fleet.parts.devices.get("line-1", NOW).desired.slots) == ["second"]


def test_a_slot_that_nobody_has_is_not_removed_and_not_written_down(fleet: Cloud) -> None:
    deploy(fleet, to="line-1")
    before = audit_of(fleet)
    for target in ("line-1", "all"):
        with pytest.raises(NotFound, match="'prob'") as refused:
            fleet.parts.deployments.remove(Removal(slot="prob", to=target), change())
        assert (refused.value.code, refused.value.hint) == (
            "slot_not_found",
            "did you mean 'probe'?",
        )
    assert audit_of(fleet) == before


def test_a_deployment_that_fails_changes_no_device(fleet: Cloud) -> None:
    with pytest.raises(NotFound):
        deploy(fleet, to="line-3")
    with pytest.raises(InvalidInput, match="does not fit"):
        deploy(fleet, config=SlotConfig(input_topic="shoal/#"))
    assert fleet.parts.devices.get("line-1", NOW).desired.revision == 0


@pytest.mark.parametrize(
    "config",
    [
        SlotConfig(input_topic="a/#/b"),
        SlotConfig(input_topic="in/{1}"),
        SlotConfig(output_topic="out/+"),
        SlotConfig(output_topic="out/{2}"),
        SlotConfig(input_topic="in"),  # the module's own output topic wants a wildcard
        SlotConfig(output_topic="in/x"),
        SlotConfig(uplink="sometimes"),
        SlotConfig(uplink="sample:2"),
    ],
)
def test_a_configuration_that_devices_would_refuse_is_refused(
    fleet: Cloud, config: SlotConfig
) -> None:
    with pytest.raises(InvalidInput, match="does not fit") as caught:
        deploy(fleet, config=config)
    assert caught.value.code == "config_misfit"


def test_a_configuration_does_not_close_a_cycle_of_slots(fleet: Cloud) -> None:
    fleet.publish("first", reads="raw/+", writes="middle/{1}")
    fleet.publish("second", reads="middle/+", writes="end/{1}")
    first, second = (Deployment(module=name, to="all") for name in ("first", "second"))
    deployments = fleet.parts.deployments
    deployments.deploy(first, change())
    back = replace(second, config=SlotConfig(output_topic="raw/{1}"))
    with pytest.raises(Conflict, match="on line-1: second -> first -> second") as caught:
        deployments.deploy(back, change())
    assert caught.value.code == "topic_cycle"
    assert list(fleet.parts.devices.get("line-1", NOW).desired.slots) == ["first"]
    # Elsewhere on the device it is a chain, and a chain is fine.
    assert deployments.deploy(second, change()).revisions == {"line-1": 2, "line-2": 2}


def test_two_slots_of_one_module_do_not_feed_each_other(fleet: Cloud) -> None:
    deploy(fleet, to="line-1", config=SlotConfig(output_topic="again/{1}"))
    around = SlotConfig(input_topic="again/+", output_topic="in/{1}")
    with pytest.raises(Conflict, match="twin -> probe -> twin"):
        deploy(fleet, to="line-1", slot="twin", config=around)
    # What runs on one device does not keep it from another.
    assert deploy(fleet, to="line-2", slot="twin", config=around) == {"line-2": 1}


def test_topics_of_one_device_are_compared_with_its_name_filled_in(fleet: Cloud) -> None:
    deploy(fleet, to="line-1", config=SlotConfig(output_topic="{device}/out/{1}"))
    from_other = SlotConfig(input_topic="line-2/out/+", output_topic="in/{1}")
    assert deploy(fleet, to="line-1", slot="twin", config=from_other) == {"line-1": 2}
    with pytest.raises(Conflict, match="cycle"):
        deploy(
            fleet, to="line-1", slot="third", config=replace(from_other, input_topic="{device}/#")
        )


def test_a_wildcard_of_many_levels_is_followed_through_a_chain(fleet: Cloud) -> None:
    deploy(fleet, to="line-1", config=SlotConfig(input_topic="in/#", output_topic="out/{1}"))
    deep = SlotConfig(input_topic="out/a/b", output_topic="in/a")
    with pytest.raises(Conflict, match="cycle"):
        deploy(fleet, to="line-1", slot="deep", config=deep)


def test_every_change_is_in_the_audit_log_with_actor_and_reason(fleet: Cloud) -> None:
    deploy(fleet, reason="monday")
    log = audit_of(fleet)
    assert [entry.action for entry in log] == [
        "deployment.create",
        "module.publish",
        "device.tag",
        "device.register",
        "device.register",
    ]
    assert (log[0].actor, log[0].reason, log[0].time) == ("ada", "monday", NOW)
    assert log[0].detail == {
        "to": "all",
        "slot": "probe",
        "devices": "line-1, line-2",
        "rollout": "r1",
    }


def test_devices_are_found_by_tag_and_name(fleet: Cloud) -> None:
    def names(name: str = "*", **tags: str) -> list[str]:
        found = fleet.parts.devices.search(name=name, tags=tags, now=NOW, limit=9, offset=0)
        return [summary.device for summary in found]

    assert names() == ["line-1", "line-2"]
    assert names(site="north") == ["line-2"]
    assert names("*-1") == ["line-1"]


def test_a_device_that_is_online_is_not_deleted(fleet: Cloud) -> None:
    fleet.ingest.write([letter(status("line-1"))])
    with pytest.raises(Conflict, match="is online"):
        fleet.parts.devices.delete("line-1", change())
    fleet.ingest.write([letter(status("line-1", state="offline"))])
    fleet.parts.devices.delete("line-1", change())
    with pytest.raises(NotFound, match="did you mean 'line-2'"):
        fleet.parts.devices.get("line-1", NOW)


def desired_of(made: Cloud, device: str) -> list[DesiredState]:
    topic = control(device, Channel.DESIRED)
    return [decode(DesiredState, data) for where, data in made.line.published if where == topic]


@pytest.fixture
def publishing(fleet: Cloud) -> Iterator[Cloud]:
    """The same fleet, with the publisher at work."""
    fleet.publisher.start()
    yield fleet
    fleet.publisher.stop()


def published(made: Cloud, device: str, count: int) -> list[DesiredState]:
    """What was published for a device, once there are `count` messages."""
    await_value(lambda: len(desired_of(made, device)) >= count)
    return desired_of(made, device)


def test_what_is_published_is_what_the_database_says_then(fleet: Cloud) -> None:
    deploy(fleet)
    deploy(fleet, slot="second")
    fleet.publisher.start()
    # Both were due, and one message is as new as both.
    assert [state.revision for state in published(fleet, "line-1", 1)] == [2]
    deploy(fleet, slot="third")
    assert [state.revision for state in published(fleet, "line-1", 2)] == [2, 3]
    fleet.publisher.stop()


def test_everything_is_published_again_for_a_broker_that_forgot(publishing: Cloud) -> None:
    deploy(publishing)
    published(publishing, "line-2", 1)
    publishing.publisher.publish_all()
    assert len(published(publishing, "line-2", 2)) == 2


def test_orders_that_the_broker_does_not_take_are_tried_until_it_does(publishing: Cloud) -> None:
    publishing.line.refusals = 4
    deploy(publishing)
    assert published(publishing, "line-1", 1)
    assert published(publishing, "line-2", 1)
    assert publishing.line.refusals == 0


def test_a_device_that_missed_its_orders_is_told_again(publishing: Cloud) -> None:
    deploy(publishing)
    published(publishing, "line-1", 1)
    publishing.ingest.write([letter(status("line-1")), letter(reported("line-1", revision_seen=0))])
    assert len(published(publishing, "line-1", 2)) == 2


def test_a_deleted_device_leaves_nothing_on_the_broker(publishing: Cloud) -> None:
    deploy(publishing)
    published(publishing, "line-1", 1)
    publishing.line.refusals = 3
    publishing.parts.devices.delete("line-1", change())
    # Asked for before the deletion, published after it: the order must be gone all the same.
    publishing.publisher.publish("line-1")
    status_topic = control("line-1", Channel.STATUS)
    await_value(lambda: (status_topic, b"") in publishing.line.published)
    orders = [data for to, data in publishing.line.published if to.endswith("line-1/down/desired")]
    assert orders[-1] == b""


def test_a_device_that_saw_a_higher_revision_gets_one_above_it(fleet: Cloud) -> None:
    deploy(fleet)
    fleet.ingest.write([letter(status("line-1")), letter(reported("line-1", revision_seen=57))])
    desired = fleet.parts.devices.get("line-1", NOW).desired
    assert desired.revision == 58
    assert list(desired.slots) == ["probe"]


def test_a_device_that_always_saw_a_higher_revision_is_not_followed_for_ever(fleet: Cloud) -> None:
    deploy(fleet)
    fleet.ingest.write([letter(status("line-1"))])
    for number in range(30):
        seen = fleet.parts.devices.get("line-1", NOW).desired.revision + 1
        fleet.ingest.write([letter(reported("line-1", revision_seen=seen, seq=number))])
    revision = fleet.parts.devices.get("line-1", NOW).desired.revision
    assert revision == 1 + 2 * 10
    told = [e for e in fleet.parts.telemetry.events() if e.name == "orders_disputed"]
    assert [e.device for e in told] == ["line-1"]
    # A deployment is told to it all the same.
    assert deploy(fleet, to="line-1", slot="second") == {"line-1": revision + 1}


def test_a_device_is_known_from_its_first_status_on(parts_of_cloud: Cloud) -> None:
    parts_of_cloud.ingest.write([letter(status("new-1", host="pi"))])
    found = parts_of_cloud.parts.devices.get("new-1", NOW)
    assert found.summary.presence == "online"
    assert [event.name for event in parts_of_cloud.parts.telemetry.events()] == ["registered"]


def test_the_will_of_an_earlier_boot_does_not_make_a_device_offline(fleet: Cloud) -> None:
    fleet.ingest.write(
        [
            letter(status("line-1", boot_id="one")),
            letter(status("line-1", boot_id="two")),
            letter(status("line-1", boot_id="one", state="offline")),
        ]
    )
    assert fleet.parts.devices.get("line-1", NOW).summary.presence == "online"


def test_a_retained_status_is_no_sign_of_life(fleet: Cloud) -> None:
    old = replace(status("line-1"), time=NOW - 1000)
    fleet.ingest.write([letter(old, is_retained=True)])
    assert fleet.parts.devices.get("line-1", NOW).summary.presence == "unknown"


def test_two_agents_with_one_name_are_found_out(fleet: Cloud) -> None:
    def online(boot: str, host: str) -> Status:
        return status("line-1", boot_id=boot, host=host)

    fleet.ingest.write([letter(online("one", "pi-a"))])
    fleet.ingest.write([letter(online("two", "pi-b"))])
    names = [event.name for event in fleet.parts.telemetry.events(device="line-1")]
    assert "two_agents" not in names  # so far it may be a restart
    fleet.ingest.write([letter(online("one", "pi-a"))])
    event = fleet.parts.telemetry.events(device="line-1", name="two_agents")[0]
    assert event.level == "error"
    assert "pi-a" in event.text
    assert "pi-b" in event.text
