import re
from pathlib import Path

from edge_agent.contract.topics import RETAINED, Channel

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "topics.md").read_text()


def test_every_control_topic_is_documented_with_its_retain_flag():
    for channel in Channel:
        pattern = rf"^\| `shoal/v1/{{device}}/{channel.value}\S*` \|(.*)$"
        row = re.search(pattern, PAGE, re.MULTILINE)
        assert row is not None, channel
        assert (row[1].split("|")[1].strip() == "yes") == (channel in RETAINED), channel


def test_every_code_of_a_refused_message_is_documented():
    used: set[str] = set()
    for path in (ROOT / "edge_agent" / "runtime").rglob("*.py"):
        for call in re.findall(r"MessageError\((?:[^()]|\([^()]*\))*\)", path.read_text()):
            used |= set(re.findall(r'code="(\w+)"', call))
    assert len(used) > 8
    documented = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert used - documented == set()


def test_every_event_is_documented():
    used: set[str] = set()
    for folder in ("edge_agent/daemon", "cloud_sync/fleet", "cloud_sync/telemetry"):
        for path in (ROOT / folder).glob("*.py"):
            for call in re.findall(r"\bEvent\(\s*name=([^,]+),", path.read_text()):
                used |= set(re.findall(r'"(\w+)"', call))
    documented = set(re.findall(r"`(\w+)`", PAGE.split("## Events")[1]))
    assert len(used) >= 8
    assert used - documented == set()
