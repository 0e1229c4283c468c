import msgspec
import pytest

from cloud_sync.cli.output import Cell
from cloud_sync.cli.status import EMPTY, print_status, sheets
from cloud_sync.resources import DeviceSummary, SlotSummary
from tests.support.cloud import INFO
from tests.support.scripted_http import ScriptedService, answer
from tests.support.shoal_command import Shoal


def slot(**changes: object) -> SlotSummary:
    values: dict[str, object] = {
        "module": "shuttle",
        "wanted_version": 2,
        "running_version": 1,
        "phase": "rolled_back",
        "messages_in": 12_345,
        "messages_per_s": None,
        "p50_ms": 0.421,
        "p99_ms": None,
        "failed": 3,
        "error": "model_failed: golden case 3 differs",
    }
    return SlotSummary(**(values | changes))  # type: ignore[arg-type]  # values of mixed types


def device(name: str, slots: dict[str, SlotSummary], age_s: float | None = 12.0) -> DeviceSummary:
    return DeviceSummary(
        device=name,
        presence="online" if age_s is not None else "unknown",
        last_seen=1.0 if age_s is not None else None,
        age_s=age_s,
        revision_wanted=1,
        revision_applied=1,
        is_settled=False,
        tags={},
        slots=slots,
    )


def printed(capsys: pytest.CaptureFixture[str], *devices: DeviceSummary) -> list[str]:
    print_status(devices)
    return capsys.readouterr().out.splitlines()


def test_every_slot_has_a_line_with_wanted_running_and_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    slots = {"a": slot(), "shuttle": slot(phase="active", running_version=2, error="")}
    header, first, second = printed(capsys, device("line-1", slots))
    assert header.split()[:3] == ["device", "presence", "slot"]
    assert first.startswith("line-1  online, 12 s ago  a        shuttle/2 -> 1")
    assert first.endswith("12,345     -      0.42/-       3  model_failed: golden case 3 differs")
    assert second.split()[:5] == ["shuttle", "2", "->", "2", "active"]


def test_a_fleet_without_errors_has_no_column_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    header, _ = printed(capsys, device("line-1", {"a": slot(error="")}))
    assert "last error" not in header


def test_a_slot_that_is_being_removed_wants_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    _, line = printed(capsys, device("line-1", {"shuttle": slot(wanted_version=0, error="")}))
    assert "nothing -> 1" in line


def test_a_device_that_never_spoke_is_listed_without_invented_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, line = printed(capsys, device("line-2", {}, None))
    assert line.split() == ["line-2", "unknown,", "never", "seen", *"-" * 7]


def test_a_fleet_without_devices_says_how_one_appears(capsys: pytest.CaptureFixture[str]) -> None:
    assert "when it first connects" in printed(capsys)[0]


def test_a_fleet_fits_a_terminal_of_80_characters_and_no_value_is_lost() -> None:
    busy = slot(module="shuttle-anomaly", messages_per_s=151.0, p99_ms=1.02)
    devices = [
        device("line-1", {"shuttle-anomaly": busy}, 3700.0),
        device("line-2", {"shuttle-anomaly": busy, "wine": slot(module="wine", error="")}),
        device("line-3", {}, None),
    ]
    (wide,) = sheets(devices, None)
    assert not wide.fits(80)
    narrow = sheets(devices, 80)
    assert all(sheet.fits(80) for sheet in narrow)

    def texts(rows: object) -> set[str]:
        cells = (cell for row in rows for cell in row)  # type: ignore[attr-defined]
        return {cell.text if isinstance(cell, Cell) else cell for cell in cells}

    shown = set().union(*(texts(sheet.rows) for sheet in narrow))
    parts = {part for text in texts(wide.rows) for part in text.split(", ")}
    assert parts - shown == set()


def test_a_fleet_is_one_table_where_there_is_room() -> None:
    devices = [device("line-1", {"shuttle": slot()})]
    assert len(sheets(devices, 200)) == len(sheets(devices, None)) == 1


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (["line-1", "line-2"], "none of 2 devices matches"),
        (["line-1"], "none of 1 device matches"),
        ([], EMPTY),
    ],
)
def test_a_filter_that_nobody_fits_is_not_taken_for_an_empty_fleet(
    known: list[str], said: str
) -> None:
    fleet = [msgspec.to_builtins(device(name, {})) for name in known]
    with ScriptedService() as service:
        service.on("GET", "/v1/devices", answer([]), answer(fleet))
        told = Shoal(service.url).ok("fleet", "status", "--name", "x*").out
    assert told == f"{said}\n"


@pytest.mark.parametrize("command", [("fleet", "status"), ("device", "list")])
def test_a_service_that_has_lost_its_broker_is_said_where_devices_seem_to_be_away(
    command: tuple[str, ...],
) -> None:
    away = msgspec.structs.replace(device("line-1", {}), presence="unknown")
    deaf = msgspec.structs.replace(INFO, broker_connected=False)
    with ScriptedService() as service:
        service.on("GET", "/v1/devices", answer([away]))
        service.on("GET", "/v1/info", answer(deaf), answer(INFO))
        lost = Shoal(service.url).run(*command)
        fine = Shoal(service.url).run(*command)
    assert lost.code == 0
    assert lost.err.startswith("warning: the service has no connection to its broker, mqtt://")
    assert lost.out == fine.out
    assert fine.err == ""


def test_nobody_asks_for_the_broker_while_all_devices_are_online() -> None:
    with ScriptedService() as service:
        service.on("GET", "/v1/devices", answer([device("line-1", {})]))
        Shoal(service.url).ok("fleet", "status")
    assert [request.path for request in service.requests] == ["/v1/devices"]
