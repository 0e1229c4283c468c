"""`shoal demo --once` on fewer rows: every part of the story, with real programs."""

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

SHOAL = str(Path(sysconfig.get_path("scripts")) / "shoal")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_story_ends_well_and_leaves_nothing_behind(tmp_path: Path):
    done = subprocess.run(
        [SHOAL, "demo", "--once", "--rows", "1500", "--rate", "300"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for fact, wanted in (("lost", "0"), ("answered twice", "0"), ("errors", "0")):
        assert re.search(rf"^\s*{fact}\s+{wanted}\s*$", said, re.MULTILINE), said
    over_mqtt = re.search(r"F1 over MQTT\s+([\d.]+)", said)
    offline = re.search(r"F1 offline\s+([\d.]+)", said)
    assert over_mqtt is not None
    assert offline is not None
    assert over_mqtt[1] == offline[1]
    assert re.search(r"v1: [\d,]+, v2: [\d,]+", said), "both versions answered rows"
    # The third act, and why: the shadow's answers, on the first stage's devices only.
    assert re.search(r"caught\s+stage 1, as a shadow: .*differ", said), said
    assert re.search(r"taken back\s+r\d+ rolled back after .*: 4 of 200 devices", said), said
    closing = " ".join(said.split())
    assert "Version 3 started, was fast and passed its own tests, and was still rolled" in closing
    assert "on live data it gave another answer to" in closing
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("shoal-demo-*")) == []
    assert _processes_with(str(tmp_path)) == []


def _processes_with(text: str) -> list[str]:
    """Command lines of running processes that name `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended while we looked
        if text in line:
            found.append(line)
    return found
