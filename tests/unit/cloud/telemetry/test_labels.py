"""Delayed labels find the results that they are about, and are counted once each."""

import msgspec
import pytest
from sqlalchemy import select

from cloud_sync.db.fleet_tables import devices
from cloud_sync.db.measure_tables import slot_measures
from cloud_sync.db.telemetry_tables import results
from cloud_sync.errors import InvalidInput, NotFound
from cloud_sync.fleet.measures import SlotMeasures
from cloud_sync.label_resources import DeviceLabel, LabelsTaken
from cloud_sync.resources import Deployment
from cloud_sync.telemetry.labels import give, stored_labels
from edge_agent.contract.labels import MOST_LABELS, Label, Labels
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode
from edge_agent.errors import ContractError
from tests.support.cloud import NOW, Cloud, change
from tests.support.letters import letter, raw, result_row, status, telemetry

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
SLOT = "shuttle"


@pytest.fixture
def cloud(parts_of_cloud: Cloud) -> Cloud:
    """A service that knows the device line-1."""
    parts_of_cloud.ingest.write([letter(status("line-1"))])
    return parts_of_cloud


def send_home(cloud: Cloud, seq: int, message: object, label: int, digest: str = ONE) -> None:
    result = {"digest": digest, "id": message, "outputs": {"label": label, "p": [0.1, 0.9]}}
    row = msgspec.structs.replace(result_row(seq, result), slot=SLOT)
    cloud.ingest.write([letter(telemetry("line-1", row))])


def tell(cloud: Cloud, **options: object) -> LabelsTaken:
    label = DeviceLabel(**{"device": "line-1", "slot": SLOT, **options})  # type: ignore[arg-type]
    return give(cloud.parts.database, [label], change())


def counts(cloud: Cloud, digest: str = ONE) -> tuple[int, int]:
    """Right and wrong answers of a digest."""
    column = slot_measures.c
    query = select(column.sums).where(column.digest == digest, column.slot == SLOT)
    with cloud.parts.database.read() as connection:
        found = connection.scalar(query)
    if found is None:
        return 0, 0
    measures = msgspec.json.decode(found, type=SlotMeasures)
    return measures.right, measures.wrong


def test_a_label_after_its_result_is_counted_for_the_version_that_answered(cloud: Cloud) -> None:
    send_home(cloud, 1, "row-7", 1)
    send_home(cloud, 2, 8, 1, TWO)
    assert tell(cloud, id="row-7", value=1) == LabelsTaken(labels=1, right=1)
    assert tell(cloud, id="8", value=0) == LabelsTaken(labels=1, wrong=1)
    assert counts(cloud) == (1, 0)
    assert counts(cloud, TWO) == (0, 1)


def test_a_label_before_its_result_waits_for_it(cloud: Cloud) -> None:
    early = tell(cloud, id=5, value=0)
    assert early == LabelsTaken(labels=1, waiting=1, strange=("line-1/shuttle",))
    assert [found.is_right for found in stored_labels(cloud.parts.database, waiting=True)] == [None]
    send_home(cloud, 1, 5, 1)
    assert counts(cloud) == (0, 1)
    assert stored_labels(cloud.parts.database, waiting=True) == []
    [found] = stored_labels(cloud.parts.database)
    assert (found.is_right, found.digest, found.message) == (False, ONE, "5")


def test_a_slot_that_a_device_does_not_have_is_named_and_one_that_it_had_is_not(
    cloud: Cloud,
) -> None:
    send_home(cloud, 1, "row-7", 1)
    assert tell(cloud, id="row-7", value=1, slot="shutle").strange == ("line-1/shutle",)
    assert tell(cloud, id="row-7", value=1).strange == ()
    assert tell(cloud, id="row-8", value=1).strange == ()  # it has answered before
    cloud.publish()
    cloud.parts.deployments.deploy(Deployment(module="probe", to="line-1"), change())
    assert tell(cloud, id="row-1", value=1, slot="probe").strange == ()


def test_a_label_that_is_told_again_counts_once_and_a_corrected_one_is_moved(cloud: Cloud) -> None:
    send_home(cloud, 1, 5, 1)
    for _ in range(3):
        tell(cloud, id=5, value=1)
    assert counts(cloud) == (1, 0)
    assert tell(cloud, id=5, value=0) == LabelsTaken(labels=1, wrong=1)
    assert counts(cloud) == (0, 1)
    assert len(stored_labels(cloud.parts.database)) == 1


def test_an_id_that_comes_again_leaves_the_label_with_the_first_answer(cloud: Cloud) -> None:
    send_home(cloud, 1, 5, 1)
    tell(cloud, id=5, value=1)
    send_home(cloud, 2, 5, 0, TWO)
    tell(cloud, id=5, value=1)
    assert (counts(cloud), counts(cloud, TWO)) == ((1, 0), (0, 0))


def test_of_several_answers_the_newest_is_meant(cloud: Cloud) -> None:
    send_home(cloud, 1, 5, 0)
    send_home(cloud, 2, 5, 1, TWO)
    tell(cloud, id=5, value=1)
    assert (counts(cloud), counts(cloud, TWO)) == ((0, 0), (1, 0))


def test_a_result_that_was_deleted_leaves_what_was_counted(cloud: Cloud) -> None:
    send_home(cloud, 1, 5, 1)
    tell(cloud, id=5, value=1)
    with cloud.parts.database.write() as connection:
        connection.execute(results.delete())
    tell(cloud, id=5, value=0)
    assert counts(cloud) == (1, 0), "there is nothing to compare with any more"
    tell(cloud, id=5, right=False)
    assert counts(cloud) == (0, 1)


def test_labels_come_on_a_topic_too_and_are_no_sign_of_the_device(cloud: Cloud) -> None:
    send_home(cloud, 1, 5, 1)
    with cloud.parts.database.write() as connection:
        connection.execute(devices.update().values(last_seen=NOW - 1000))
    message = Labels(device="line-1", labels=(Label(slot=SLOT, id=5, value=1),) * 2)
    cloud.ingest.write([raw(control("line-1", Channel.LABELS), encode(message))] * 2)
    assert counts(cloud) == (1, 0)
    with cloud.parts.database.read() as connection:
        assert connection.scalar(select(devices.c.last_seen)) == NOW - 1000
    stranger = Labels(device="line-9", labels=(Label(slot=SLOT, id=5, value=1),))
    cloud.ingest.write([raw(control("line-9", Channel.LABELS), encode(stranger))])
    assert len(stored_labels(cloud.parts.database)) == 1


def test_a_label_that_says_nothing_is_refused_and_complained_about(cloud: Cloud) -> None:
    message = Labels(device="line-1", labels=(Label(slot=SLOT, id=5),))
    cloud.ingest.write([raw(control("line-1", Channel.LABELS), encode(message))])
    assert len(cloud.parts.telemetry.events(name="malformed_message")) == 1
    with pytest.raises(ContractError):
        tell(cloud, id=5)
    assert stored_labels(cloud.parts.database) == []


def test_results_without_an_id_or_of_another_kind_are_stored_all_the_same(cloud: Cloud) -> None:
    row = msgspec.structs.replace(result_row(1, [1, 2]), slot=SLOT)
    long = msgspec.structs.replace(result_row(2, {"id": "x" * 500}), slot=SLOT)
    cloud.ingest.write([letter(telemetry("line-1", row, long))])
    assert len(cloud.parts.telemetry.results()) == 2


def test_labels_of_an_unknown_device_or_too_many_at_once_are_refused(cloud: Cloud) -> None:
    with pytest.raises(NotFound):
        tell(cloud, device="line-9", id=1, value=1)
    label = DeviceLabel(device="line-1", slot=SLOT, id=1, value=1)
    with pytest.raises(InvalidInput):
        give(cloud.parts.database, [label] * (MOST_LABELS + 1), change())


def test_thousands_of_labels_in_parts_are_all_found(cloud: Cloud) -> None:
    rows = [
        msgspec.structs.replace(
            result_row(seq, {"digest": ONE, "id": seq, "outputs": {"label": seq % 2}}), slot=SLOT
        )
        for seq in range(1, 701)
    ]
    cloud.ingest.write([letter(telemetry("line-1", *rows))])
    given = [DeviceLabel(device="line-1", slot=SLOT, id=seq, value=1) for seq in range(1, 701)]
    taken = give(cloud.parts.database, given, change())
    assert taken == LabelsTaken(labels=700, right=350, wrong=350)
    assert counts(cloud) == (350, 350)
