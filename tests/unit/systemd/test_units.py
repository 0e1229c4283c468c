import configparser
import re
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[3] / "systemd").glob("*.service"))


def read(unit: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(unit)
    return parser


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.stem)
def test_units_notify_feed_a_watchdog_and_never_give_up(unit: Path):
    found = read(unit)
    service = found["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "always"
    assert found["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["StateDirectory"].startswith("shoal")


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.stem)
def test_exposure_is_what_the_guides_say(unit: Path):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    found = re.search(r"exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert found is not None, done.stdout
    guides = Path(__file__).parents[3] / "docs" / "guides" / "systemd.md"
    said = re.search(rf"`{unit.name}`[^\n]*?(\d+\.\d+)", guides.read_text())
    assert said is not None
    # Versions of systemd weigh settings a little differently.
    assert abs(float(found[1]) - float(said[1])) <= 0.3
    assert float(found[1]) < 2.0
