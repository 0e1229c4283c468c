"""The fleet by version: how many devices run it, and how old these values are."""

import pytest
from msgspec.structs import replace

from cloud_sync.cli.output import table_width
from cloud_sync.cli.versions import VersionLine, print_versions, version_lines, versions_sheet
from cloud_sync.resources import DeviceSummary, SlotSummary
from tests.support.scripted_http import ScriptedService, answer
from tests.support.shoal_command import Shoal

SLOT = SlotSummary(
    module="wine", wanted_version=3, running_version=3, phase="active", messages_in=1,
    messages_per_s=None, p50_ms=None, p99_ms=None, failed=0, error="", running_age_s=2.0,
)  # fmt: skip


def device(name: str, slot: SlotSummary = SLOT, presence: str = "online") -> DeviceSummary:
    found = DeviceSummary(
        device=name, presence="online", last_seen=1.0, age_s=1.0, revision_wanted=1,
        revision_applied=1, is_settled=True, tags={}, slots={"wine": slot},
    )  # fmt: skip
    return replace(found, presence=presence)


FLEET = [
    device("line-1"),
    device("line-2", replace(SLOT, running_version=2, running_age_s=40.0)),
    device("line-3", replace(SLOT, running_version=2, running_age_s=259_200.0), "offline"),
    device("line-4", replace(SLOT, running_version=0, running_age_s=None), "unknown"),
]


def test_devices_are_counted_by_what_they_run_and_by_what_they_should() -> None:
    third, second, nothing = version_lines(FLEET)
    assert (third.module, third.version, third.running) == ("wine", 3, {"line-1": 2.0})
    assert third.wanted == ("line-1", "line-2", "line-3", "line-4")
    assert second.running == {"line-2": 40.0, "line-3": 259_200.0}
    assert (second.wanted, second.silent) == ((), ("line-3",))
    assert nothing == VersionLine(
        slot="wine", module="", version=0, running={"line-4": None}, wanted=(), silent=("line-4",)
    )


def test_every_value_is_shown_with_its_age(capsys: pytest.CaptureFixture[str]) -> None:
    print_versions(version_lines(FLEET), "none")
    header, third, second, nothing = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["slot", "version", "run", "it", "should", "silent"]
    assert third.split()[:4] == ["wine", "wine/3", "1", "4"]
    assert third.endswith("line-1 (2 s ago)")
    assert "40 s ago  3 d ago  line-3 (3 d ago), line-2 (40 s ago)" in second
    assert nothing.endswith("line-4 (never)")


def test_a_large_fleet_fits_a_terminal_of_80_characters() -> None:
    many = [device(f"line-{number}") for number in range(10_000)]
    sheet = versions_sheet(version_lines(many), 80)
    assert table_width(sheet.columns, sheet.rows) <= 80
    assert "10,000" in [getattr(cell, "text", cell) for cell in sheet.rows[0]]


def test_the_command_shows_the_fleet_by_version() -> None:
    with ScriptedService() as service:
        service.on("GET", "/v1/devices", answer(FLEET), answer(FLEET), answer([]))
        shoal = Shoal(service.url)
        assert "line-3 (3 d ago)" in shoal.ok("fleet", "status", "--versions").out
        found = shoal.ok("fleet", "status", "--versions", "--json").json(list[VersionLine])
        assert found == version_lines(FLEET)
        assert "no devices yet" in shoal.ok("fleet", "status", "--versions").out
