import pytest
from msgspec.structs import replace

from cloud_sync.client import ShoalClient
from cloud_sync.client.arrival import judge
from cloud_sync.errors import Unavailable
from cloud_sync.resources import DeploymentResult, DeviceDetail, DeviceSummary
from edge_agent.contract.state import (
    AgentInfo,
    DesiredState,
    Phase,
    ReportedSlot,
    ReportedState,
    SlotError,
    WantedSlot,
)
from tests.support.scripted_http import ScriptedService, answer, problem

NEW, OLD = ("sha256:" + digit * 64 for digit in "12")
RESULT = DeploymentResult(
    module="shuttle", version=2, digest=NEW, slot="shuttle", revisions={"line-1": 7}
)


def detail(
    slot: ReportedSlot | None = None,
    *,
    seen: int | None = 7,
    desired: str = NEW,
    presence: str = "online",
    last_seen: float | None = 100.0,
) -> DeviceDetail:
    reported = None
    if seen is not None:
        reported = ReportedState(
            device="line-1",
            boot_id="b",
            seq=1,
            time=100.0,
            revision_seen=seen,
            revision_applied=0,
            slots={} if slot is None else {"shuttle": slot},
            agent=AgentInfo(version="1"),
        )
    return DeviceDetail(
        summary=DeviceSummary(
            device="line-1",
            presence=presence,  # type: ignore[arg-type]  # a plain str keeps the calls short
            last_seen=last_seen,
            age_s=1.0,
            revision_wanted=7,
            revision_applied=0,
            is_settled=False,
            tags={},
            slots={},
        ),
        desired=DesiredState(
            device="line-1",
            revision=7,
            slots={"shuttle": WantedSlot(module="shuttle", version=2, digest=desired)},
        ),
        reported=reported,
        reported_age_s=1.0,
        health=None,
        health_age_s=None,
    )


def slot(phase: Phase, running: str = "", error: SlotError | None = None) -> ReportedSlot:
    return ReportedSlot(
        module="shuttle", phase=phase, running=running, wanted=NEW, error=error, attempts=2
    )


def test_a_device_that_waits_its_turn_is_waited_for() -> None:
    found = judge(detail(replace(slot(Phase.FETCHING), next_retry=5.0)), RESULT)
    assert found.state == "waiting"
    assert found.text == "waits its turn, so that a fleet does not ask at once"


def test_only_the_reported_running_digest_counts_as_arrival() -> None:
    assert judge(detail(slot(Phase.ACTIVE, NEW)), RESULT).state == "running"
    assert judge(detail(slot(Phase.ACTIVE, OLD)), RESULT).state == "waiting"
    assert judge(detail(slot(Phase.TRIAL, NEW)), RESULT).state == "waiting"


def test_a_report_from_before_the_deployment_proves_nothing() -> None:
    assert judge(detail(slot(Phase.ACTIVE, NEW), seen=6), RESULT).state == "waiting"
    assert judge(detail(slot(Phase.REJECTED), seen=6), RESULT).state == "waiting"


@pytest.mark.parametrize("phase", [Phase.REJECTED, Phase.ROLLED_BACK])
def test_what_waiting_cannot_mend_is_a_failure_with_its_reason(phase: Phase) -> None:
    error = SlotError(code="model_failed", text="golden case 3 differs")
    found = judge(detail(slot(phase, OLD, error)), RESULT)
    assert found.state == "failed"
    assert "model_failed: golden case 3 differs (attempt 2)" in found.text


def test_a_failure_that_will_be_retried_is_waited_for() -> None:
    error = SlotError(code="unavailable", text="no answer")
    found = judge(detail(slot(Phase.FAILED, OLD, error)), RESULT)
    assert (found.state, found.phase) == ("waiting", "failed")
    assert "unavailable: no answer" in found.text


def test_a_newer_deployment_of_somebody_else_ends_the_wait() -> None:
    found = judge(detail(slot(Phase.ACTIVE, OLD), desired=OLD), RESULT)
    assert found.state == "failed"
    assert "somebody else has since asked for shuttle/2" in found.text


def test_a_device_that_a_program_locks_is_waited_for_and_says_until_when() -> None:
    error = SlotError(code="update_locked", text="put off until 14:05:00 (a cut is being made)")
    locked = replace(slot(Phase.FETCHING, OLD, error), attempts=0, locked_until=100.0 + 301.0)
    found = judge(detail(locked), RESULT)
    assert found.state == "waiting"
    assert found.text == (
        "waits for an update lock of the device, 5 min more at most: "
        "put off until 14:05:00 (a cut is being made)"
    )
    soon = replace(locked, locked_until=100.0 + 15.0)
    assert "14 s more at most" in judge(detail(soon), RESULT).text


def test_a_device_that_was_not_asked_yet_is_waited_for() -> None:
    unasked = replace(RESULT, revisions={"line-1": 0}, rollout="r17")
    found = judge(detail(slot(Phase.ACTIVE, OLD), desired=OLD), unasked)
    assert found.state == "waiting"
    assert found.text == "not asked yet: shoal rollout status r17 --devices says why"


def test_a_silent_device_is_named_as_such() -> None:
    never = judge(detail(seen=None, presence="unknown", last_seen=None), RESULT)
    assert never.text == "never seen: is its agent running?"
    away = judge(detail(seen=3, presence="offline"), RESULT)
    assert away.text == "offline: will get it when it is back"
    quiet = judge(detail(seen=None), RESULT)
    assert quiet.text == "online, has not answered yet"
    begun = judge(detail(None, presence="offline"), RESULT)
    assert begun.text == "has not begun yet, device offline"


WAITING = detail(slot(Phase.TRIAL, OLD))
RUNNING = detail(slot(Phase.ACTIVE, NEW))


def test_waiting_ends_when_the_device_runs_it_and_outlives_a_service_that_is_away() -> None:
    seen: list[str] = []
    with ScriptedService() as service, ShoalClient(service.url) as client:
        away = problem(503, "unavailable")
        service.on("GET", "/v1/devices/line-1", answer(WAITING), away, answer(RUNNING))
        arrivals = client.deployments.wait(
            RESULT, 30, lambda found: seen.extend(arrival.state for arrival in found)
        )
    assert [arrival.state for arrival in arrivals] == ["running"]
    assert seen == ["waiting", "running"]


def test_waiting_has_an_end_and_gives_the_last_state() -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", "/v1/devices/line-1", answer(WAITING))
        arrivals = client.deployments.wait(RESULT, 0.1)
    assert [(arrival.state, arrival.phase) for arrival in arrivals] == [("waiting", "trial")]


def test_waiting_for_a_service_that_stays_away_is_unavailable() -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", "/v1/devices/line-1", problem(503, "unavailable"))
        with pytest.raises(Unavailable):
            client.deployments.wait(RESULT, 0.1)
