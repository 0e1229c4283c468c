"""The fleet's pure decisions: presence, summaries, explanations."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import NotFound
from cloud_sync.fleet.explain import explain
from cloud_sync.fleet.presence import presence
from cloud_sync.fleet.reports import has_other_orders, is_newer
from cloud_sync.fleet.summary import DeviceFacts, summarize
from edge_agent.contract.messages import Health, SlotHealth, Timing
from edge_agent.contract.state import (
    AgentInfo,
    DesiredState,
    Phase,
    ReportedSlot,
    ReportedState,
    SlotError,
    WantedSlot,
)
from tests.support.letters import reported

NOW = 1000.0
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.mark.parametrize(
    ("state", "silent_s", "expected"),
    [
        ("", None, "unknown"),
        ("online", 0, "online"),
        ("online", 90, "online"),
        ("online", 91, "unknown"),
        ("online", -3600, "online"),  # the service's clock was set back
        ("offline", 0, "offline"),
        ("offline", 10_000, "offline"),
    ],
)
def test_a_silent_device_is_unknown_after_three_reports(
    state: str, silent_s: float | None, expected: str
) -> None:
    seen = None if silent_s is None else NOW - silent_s
    assert presence(NOW, state, seen, 30) == expected


def facts(
    wanted: str = A, running: str = A, phase: Phase = Phase.ACTIVE, error: SlotError | None = None
) -> DeviceFacts:
    slots = {"s": WantedSlot(module="m", version=2, digest=wanted)} if wanted else {}
    reported = ReportedSlot(
        module="m", phase=phase, running=running, running_version=1, error=error, attempts=3
    )
    return DeviceFacts(
        device="line-1",
        state="online",
        last_seen=NOW - 5,
        interval_s=30,
        tags={},
        desired=DesiredState(device="line-1", revision=4, slots=slots),
        reported=ReportedState(
            device="line-1",
            boot_id="b",
            seq=1,
            time=NOW,
            revision_seen=4,
            revision_applied=4,
            slots={"s": reported},
            agent=AgentInfo(version="0"),
        ),
        reported_at=NOW - 20,
    )


@pytest.mark.parametrize(
    ("found", "is_settled"),
    [
        (facts(), True),
        (facts(running=B), False),
        (facts(phase=Phase.TRIAL), False),
        (facts(wanted=""), False),  # it should not run and does
        (facts(wanted="", running="", phase=Phase.ABSENT), True),
        (replace(facts(), reported=None), False),
    ],
)
def test_settled_is_proved_by_the_running_digest(found: DeviceFacts, is_settled: bool) -> None:
    assert summarize(found, NOW).is_settled is is_settled


def health(uptime_s: float, messages: int, pid: int = 7) -> Health:
    slot = SlotHealth(
        module="m",
        version=1,
        digest=A,
        state="running",
        pid=pid,
        messages_in=messages,
        messages_out=messages,
        failed={"nan": 2, "range": 1},
        total=Timing(p50_ms=0.5, p99_ms=0.9),
    )
    return Health(
        device="line-1", boot_id="b", time=NOW, uptime_s=uptime_s, interval_s=30, slots={"s": slot}
    )


def test_the_rate_is_between_the_last_two_reports_of_one_worker() -> None:
    found = replace(facts(), health=health(60, 400), health_before=health(30, 100))
    slot = summarize(found, NOW).slots["s"]
    assert (slot.messages_per_s, slot.p50_ms, slot.failed) == (10.0, 0.5, 3)
    restarted = replace(found, health=health(60, 40, pid=8))
    assert summarize(restarted, NOW).slots["s"].messages_per_s is None
    assert summarize(facts(), NOW).slots["s"].messages_per_s is None


def test_a_worker_that_hears_nothing_is_shown_as_trouble() -> None:
    deaf = SlotHealth(
        module="m", version=1, digest=A, state="running", connected=False,
        error="refused the subscription",
    )  # fmt: skip
    health = Health(
        device="line-1", boot_id="b", time=NOW, uptime_s=1, interval_s=30, slots={"s": deaf}
    )
    slot = summarize(replace(facts(), health=health), NOW).slots["s"]
    assert slot.error == "not_connected: refused the subscription"


def test_a_worker_that_is_not_connected_yet_is_no_trouble_before_a_second_report_says_so() -> None:
    def told(*, connected: bool, uptime_s: float) -> Health:
        slot = SlotHealth(module="m", version=1, digest=A, state="running", connected=connected)
        return Health(
            device="line-1",
            boot_id="b",
            time=NOW,
            uptime_s=uptime_s,
            interval_s=30,
            slots={"s": slot},
        )

    def error(last: Health, before: Health | None) -> str:
        found = replace(facts(), health=last, health_before=before)
        told = summarize(found, NOW).slots["s"].error
        is_said = "data broker is away" in explain(found, "s", NOW).advice
        assert is_said is bool(told), "an explanation and a summary say the same"
        return told

    first = told(connected=False, uptime_s=0.2)
    assert error(first, None) == ""
    assert error(told(connected=False, uptime_s=300), told(connected=True, uptime_s=270)) == ""
    assert error(told(connected=True, uptime_s=30.2), first) == ""
    assert error(told(connected=False, uptime_s=30.2), first).startswith("not_connected: ")


def test_every_value_has_its_age() -> None:
    summary = summarize(facts(), NOW)
    assert (summary.age_s, summary.revision_applied) == (5.0, 4)
    assert explain(facts(), "s", NOW).reported_age_s == 20.0


def test_a_running_version_is_as_old_as_the_last_report_that_names_it() -> None:
    def age_of(found: DeviceFacts) -> float | None:
        return summarize(found, NOW).slots["s"].running_age_s

    later = replace(facts(), health=health(60, 400), health_at=NOW - 3)
    assert (age_of(facts()), age_of(later)) == (20.0, 3.0)
    assert age_of(replace(facts(running=B), health=health(60, 400), health_at=NOW - 3)) == 20.0
    assert age_of(replace(facts(), reported=None)) is None


def test_an_explanation_says_what_stands_in_the_way() -> None:
    error = SlotError(code="integrity", text="blob differs", step="download")
    found = explain(facts(running=B, phase=Phase.FAILED, error=error), "s", NOW)
    assert (found.wanted, found.running) == ("m/2", "m/1")
    assert (found.error, found.error_step, found.attempts) == (
        "integrity: blob differs",
        "download",
        3,
    )
    assert "tried again by itself" in found.advice


def test_every_phase_has_an_advice() -> None:
    for phase in Phase:
        assert len(explain(facts(running=B, phase=phase), "s", NOW).advice) > 10


def test_a_slot_that_waits_its_turn_is_explained_as_such() -> None:
    found = facts(running=B, phase=Phase.FETCHING)
    assert found.reported is not None
    slots = {"s": replace(found.reported.slots["s"], next_retry=NOW + 10)}
    waiting = replace(found, reported=replace(found.reported, slots=slots))
    assert "waits its turn" in explain(waiting, "s", NOW).advice


def test_a_silent_device_is_explained_as_such() -> None:
    silent = replace(facts(), last_seen=NOW - 1000)
    assert "is silent" in explain(silent, "s", NOW).advice
    late = replace(facts(running=B), desired=replace(facts().desired, revision=9))
    assert "seen revision 4 of 9" in explain(late, "s", NOW).advice
    assert "never reported" in explain(replace(facts(), reported=None), "s", NOW).advice


def test_a_worker_without_a_broker_is_explained_on_trial_and_beside_older_orders() -> None:
    deaf = health(60, 0)
    slots = {"s": replace(deaf.slots["s"], connected=False, error="refused")}
    trial = replace(facts(running=B, phase=Phase.TRIAL), health=replace(deaf, slots=slots))
    found = explain(trial, "s", NOW).advice
    assert "data broker is away: refused" in found
    assert "nothing to do" not in found
    late = replace(trial, desired=replace(trial.desired, revision=9))
    found = explain(late, "s", NOW).advice
    assert "seen revision 4 of 9" in found
    assert "data broker is away: refused" in found


def test_a_slot_that_nobody_knows_is_not_found() -> None:
    with pytest.raises(NotFound, match="no slot 'x'"):
        explain(facts(), "x", NOW)


@pytest.mark.parametrize(
    ("boot", "seq", "stored", "current", "expected"),
    [
        ("b", 2, ("b", 1), "b", True),
        ("b", 1, ("b", 1), "b", False),  # sent twice
        ("b", 1, ("a", 9), "b", True),
        ("a", 10, ("b", 1), "b", False),  # of the boot before, come late
        ("a", 10, ("x", 1), "", True),  # nothing better is known
    ],
)
def test_late_reports_do_not_replace_newer_ones(
    boot: str, seq: int, stored: tuple[str, int], current: str, expected: bool
) -> None:
    report = replace(facts().reported, boot_id=boot, seq=seq)  # type: ignore[type-var]
    found = is_newer(report, stored_boot=stored[0], stored_seq=stored[1], current_boot=current)
    assert found is expected


@pytest.mark.parametrize(
    ("revision", "followed", "has_others"),
    [
        (4, {"probe": A}, False),
        (4, {"probe": B}, True),
        (4, {}, True),
        (4, {"probe": A, "more": B}, True),
        (5, {"probe": A}, True),
    ],
)
def test_a_number_that_was_given_twice_is_found(
    revision: int, followed: dict[str, str], has_others: bool
) -> None:
    """The service was set back to a backup, and went on counting from there."""
    desired = DesiredState(
        device="line-1",
        revision=4,
        slots={"probe": WantedSlot(module="probe", version=1, digest=A)},
    )
    slots = {
        slot: ReportedSlot(module=slot, phase=Phase.ACTIVE, wanted=digest)
        for slot, digest in followed.items()
    }
    # A slot that is only left over from before is followed by nobody.
    slots["old"] = ReportedSlot(module="old", phase=Phase.ACTIVE)
    report = reported("line-1", revision_seen=revision, slots=slots)
    assert has_other_orders(report, desired) is has_others
