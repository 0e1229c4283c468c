"""What `edge-agent check` says about certificates, and about clocks that make them look wrong."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.config import AgentSection, CloudSection, DataSection, Settings
from edge_agent.daemon.check.certificates import check_certificates, judge
from edge_agent.daemon.check.finding import Finding
from edge_agent.store.clock import ClockState
from tests.support.dated_certificates import DAY_S, Issued, issue

NOW = 1_800_000_000.0
RIGHT = ClockState(is_synced=True, system=NOW, floor=NOW - 1)
UNSYNCED = replace(RIGHT, is_synced=False)
BEHIND = ClockState(is_synced=False, system=0.0, floor=NOW, is_behind=True)


def settings(tmp_path: Path, own: Issued | None, ca_file: str = "", key: str = "") -> Settings:
    cloud = CloudSection(
        cert_file=str(own.cert_file) if own else "",
        key_file=key or (str(own.key_file) if own else ""),
        ca_file=ca_file,
    )
    return Settings(agent=AgentSection(device="line-1", state_dir=str(tmp_path)), cloud=cloud)


def the_only(found: Settings, clock: ClockState = RIGHT) -> Finding:
    (finding,) = check_certificates(found, clock)
    return finding


def valid(tmp_path: Path, name: str = "line-1", days: float = 300) -> Issued:
    return issue(tmp_path, name, not_before=NOW - DAY_S, not_after=NOW + days * DAY_S)


def test_without_any_it_says_what_to_set(tmp_path: Path) -> None:
    found = the_only(settings(tmp_path, None))
    assert (found.state, "cert_file" in found.text) == ("ok", True)


def test_a_good_one_is_told_with_its_name_and_days(tmp_path: Path) -> None:
    found = the_only(settings(tmp_path, valid(tmp_path)))
    assert found.state == "ok"
    assert "'line-1'" in found.text
    assert "(300 days)" in found.text


@pytest.mark.parametrize(
    ("days", "state", "text", "hint"),
    [
        (31, "ok", "31 days", ""),
        (29, "warn", "29 days", "renew it soon"),
        (-1, "fail", "has expired on", "renew it"),
    ],
)
def test_the_time_that_is_left_decides(days: float, state: str, text: str, hint: str) -> None:
    found = judge("certificate", "'x'", NOW - 900 * DAY_S, NOW + days * DAY_S, RIGHT)
    assert found.state == state
    assert text in found.text
    assert hint in found.hint
    assert "clock" not in found.text


def test_one_of_the_future_fails(tmp_path: Path) -> None:
    found = judge("certificate", "'x'", NOW + 10, NOW + DAY_S, RIGHT)
    assert (found.state, "not valid before" in found.text) == ("fail", True)


@pytest.mark.parametrize("clock", [UNSYNCED, BEHIND])
def test_what_is_not_valid_by_a_clock_that_is_not_trusted_blames_the_clock_first(
    clock: ClockState,
) -> None:
    later = clock.system + 10
    found = judge("certificate", "'x'", later, later + DAY_S, clock)
    assert found.state == "fail"
    assert "the clock is not to be trusted: it shows" in found.text
    assert found.hint.startswith("set the clock first")


def test_another_devices_certificate_is_a_failure(tmp_path: Path) -> None:
    found = the_only(settings(tmp_path, valid(tmp_path, "line-2")))
    assert found.state == "fail"
    assert "expected the common name 'line-1'" in found.text
    assert "'line-2'" in found.text


def test_a_key_of_another_certificate_is_a_failure(tmp_path: Path) -> None:
    own, other = valid(tmp_path), valid(tmp_path, "other")
    found = the_only(settings(tmp_path, own, key=str(other.key_file)))
    assert (found.state, "is not the key of" in found.text) == ("fail", True)


def test_a_key_that_needs_a_password_is_a_failure(tmp_path: Path) -> None:
    own = issue(
        tmp_path, "line-1", not_before=NOW - 1, not_after=NOW + DAY_S, password=b"secret-word"
    )
    found = the_only(settings(tmp_path, own))
    assert (found.state, "needs a password" in found.text) == ("fail", True)


def test_a_key_that_others_may_read_is_warned_about(tmp_path: Path) -> None:
    own = valid(tmp_path)
    own.key_file.chmod(0o644)
    found = the_only(settings(tmp_path, own))
    assert found.state == "warn"
    assert f"chmod 600 {own.key_file}" in found.hint


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff" * 100])
def test_files_that_cannot_be_used_are_failures(tmp_path: Path, content: bytes | None) -> None:
    own = Issued(tmp_path / "c.crt", tmp_path / "c.key")
    if content is not None:
        own.cert_file.write_bytes(content)
    found = the_only(settings(tmp_path, own))
    assert found.state == "fail"
    assert str(own.cert_file) in found.text
    assert found.hint


def test_a_key_that_is_none_is_never_quoted(tmp_path: Path) -> None:
    own = valid(tmp_path)
    own.key_file.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    found = the_only(settings(tmp_path, own))
    assert found.state == "fail"
    assert "c2VjcmV0" not in found.text + found.hint


def test_a_chain_is_as_weak_as_its_weakest(tmp_path: Path) -> None:
    own, above = valid(tmp_path), valid(tmp_path, "above", days=5)
    own.cert_file.write_bytes(own.cert_file.read_bytes() + above.cert_file.read_bytes())
    found = the_only(settings(tmp_path, own))
    assert (found.state, "'above'" in found.text) == ("warn", True)


def test_a_ca_that_has_expired_is_a_failure_unless_another_is_left(tmp_path: Path) -> None:
    old = issue(tmp_path, "old-ca", not_before=NOW - 9 * DAY_S, not_after=NOW - DAY_S)
    found = the_only(settings(tmp_path, None, ca_file=str(old.cert_file)))
    assert (found.name, found.state) == ("ca_file", "fail")
    both = tmp_path / "both.crt"
    new = valid(tmp_path, "new-ca")
    both.write_bytes(old.cert_file.read_bytes() + new.cert_file.read_bytes())
    found = the_only(settings(tmp_path, None, ca_file=str(both)))
    assert (found.state, "2 certificates" in found.text) == ("ok", True)
    assert "1 of them not valid now" in found.text


def test_the_data_brokers_own_certificate_may_have_any_name(tmp_path: Path) -> None:
    other = valid(tmp_path, "sensors")
    data = DataSection(
        broker="mqtts://127.0.0.1",
        cert_file=str(other.cert_file),
        key_file=str(other.key_file),
        ca_file=str(other.cert_file),
    )
    found = list(check_certificates(replace(settings(tmp_path, None), data=data), RIGHT))
    assert [(one.name, one.state) for one in found] == [
        ("data certificate", "ok"),
        ("data ca_file", "ok"),
    ]
