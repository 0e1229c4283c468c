"""Targets, groups, layers of configuration and many modules, with a real service and `shoal`."""

from pathlib import Path

from tests.support.service import CloudService
from tests.support.shoal_command import Shoal, publish_linear


def listed(shoal: Shoal, where: str) -> list[str]:
    found = shoal.ok("device", "list", "--where", where, "--json").json(list[dict[str, object]])
    assert isinstance(found, list)
    return [str(device["device"]) for device in found]


def test_a_fleet_is_chosen_grouped_and_configured(service: CloudService, tmp_path: Path) -> None:
    shoal = Shoal(service.url)
    for device, site in (("line-1", "oslo"), ("line-2", "oslo"), ("pump", "bergen")):
        shoal.ok("device", "add", device)
        shoal.ok("device", "tag", device, f"site={site}")
    shoal.ok("device", "tag", "line-2", "lab=yes")
    assert listed(shoal, "site=oslo and not tag:lab or pump") == ["line-1", "pump"]
    wrong = shoal.run("device", "list", "--where", "site=oslo adn pump")
    assert wrong.code == 1
    assert "expected 'and', 'or' or the end at character 11" in wrong.err
    _, shown, caret, *_ = wrong.err.splitlines()
    assert shown[caret.index("^") :].startswith("adn")

    said = shoal.ok("group", "add", "winter", "site=oslo", "--description", "heated").out
    assert said == "group winter: 2 devices (2 added)\n"
    assert shoal.ok("group", "show", "winter").out.split() == ["line-1", "line-2"]
    assert "heated" in shoal.ok("group", "list").out

    publish_linear(shoal, tmp_path / "wine", bias=0.5)
    shoal.ok("deploy", "wine", "--to", "group:winter or pump", "--uplink", "changes")
    shoal.ok("deploy", "wine", "--to", "line-2")
    would = shoal.ok("config", "set", "uplink=all", "--group", "winter", "--dry-run").out
    assert would == "the configuration of line-2 would change; 1 other keep theirs\n"
    shoal.ok("config", "set", "uplink=all", "--group", "winter", "--slot", "wine")
    shoal.ok("config", "set", "health_interval_s=90", "--fleet")
    rows = [line.split()[:4] for line in shoal.ok("config", "show").out.splitlines()[1:]]
    assert rows == [
        ["fleet", "-", "health_interval_s", "90"],
        ["group", "winter", "wine", "uplink"],
    ]
    effective = shoal.ok("config", "show", "--device", "line-2", "--slot", "wine").out
    assert "group winter" in effective
    assert "deployment" in shoal.ok("config", "show", "--device", "line-1").out
    shoal.ok("config", "unset", "uplink", "--group", "winter", "--slot", "wine")
    assert shoal.ok("group", "remove", "winter", "line-1").out.startswith("group winter: 1 device ")
    assert shoal.ok("group", "delete", "winter").out == "deleted group winter\n"
    assert shoal.run("deploy", "wine", "--to", "group:winter").code == 1


def test_modules_end_by_pattern(service: CloudService, tmp_path: Path) -> None:
    shoal = Shoal(service.url)
    for bias in (0.25, 0.5):
        publish_linear(shoal, tmp_path / "wine", bias=bias)
    said = shoal.ok("module", "retire", "win*", "--keep", "1", "--dry-run").out
    assert said == "1 module version would be retired:\n  wine/1\n"
    shoal.ok("module", "retire", "win*", "--keep", "1")
    assert shoal.ok("module", "delete", "wine/1").out == "deleted module wine/1\n"
    assert shoal.run("module", "delete", "wine/2", "--keep", "1").code == 2
    assert "wine/2" in shoal.ok("module", "list", "--name", "w*").out
