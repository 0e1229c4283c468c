"""Labels through the real service: over HTTP, from a file, and on their topic."""

from pathlib import Path

import msgspec
import pytest

from cloud_sync.label_resources import LabelsTaken, StoredLabel
from edge_agent.contract.labels import Label, Labels
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode
from tests.support.device import ScriptedDevice, await_value
from tests.support.letters import result_row, telemetry
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal

DIGEST = "sha256:" + "1" * 64


@pytest.fixture
def shoal(service: CloudService) -> Shoal:
    return Shoal(service.url, actor="ada")


def stored(shoal: Shoal) -> dict[str, bool | None]:
    found = shoal.ok("label", "list", "--json").json(list[StoredLabel])
    return {label.message: label.is_right for label in found}


def test_labels_told_in_any_way_find_the_answers_of_the_device(
    shoal: Shoal, service: CloudService, tmp_path: Path
) -> None:
    shoal.ok("device", "add", "line-1")
    told = shoal.ok(*("label", "add", "1", "1", "--device", "line-1", "--slot", "probe", "--json"))
    early = told.json(LabelsTaken)
    assert early == LabelsTaken(labels=1, waiting=1, strange=("line-1/probe",))
    assert "no such slot on its device, so far: line-1/probe" in told.err
    assert "waits" in shoal.ok("label", "list", "--waiting").out

    table = tmp_path / "inspected.csv"
    table.write_text("id,value,right\n2,1,\n3,,no\n")
    with ScriptedDevice("line-1", service.broker_url) as device:
        rows = [
            result_row(seq, {"digest": DIGEST, "id": seq, "outputs": {"label": seq % 2}})
            for seq in range(1, 5)
        ]
        device.send(telemetry("line-1", *rows))
        device.await_acks(1)
        assert stored(shoal) == {"1": True}
        said = shoal.ok(
            *("label", "import", str(table), "--device", "line-1", "--slot", "probe")
        ).out
        assert said == "2 labels: 0 right, 2 wrong, 0 whose result is not there yet\n"
        message = Labels(device="line-1", labels=(Label(slot="probe", id=4, value=0),))
        device.send_raw(control("line-1", Channel.LABELS), encode(message))
        await_value(lambda: stored(shoal).get("4"), 30)
    assert stored(shoal) == {"1": True, "2": False, "3": False, "4": True}

    unknown = shoal.run("label", "add", "1", "1", "--device", "line-9", "--slot", "probe", "--json")
    assert unknown.code == 1
    assert msgspec.json.decode(unknown.err)["error"]["code"] == "device_not_found"
    table.write_text("id,value\n")
    nothing = shoal.ok("label", "import", str(table), "--device", "line-1", "--slot", "probe")
    assert nothing.err == f"warning: labels {table}: no rows in it, so nothing was told\n"
    empty = shoal.run("label", "add", "1", "--device", "line-1", "--slot", "probe", "--json")
    assert msgspec.json.decode(empty.err)["error"]["code"] == "label_invalid"
