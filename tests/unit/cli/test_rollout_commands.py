"""`shoal rollout ...` as it is typed, against a service that answers what it is told to."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from cloud_sync.resources import DeploymentResult
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    Obstacle,
    RolloutDetail,
    RolloutEvent,
    RolloutOrder,
    RolloutPlan,
    RolloutState,
    RolloutSummary,
    RolloutWish,
)
from tests.support.rollout_samples import (
    EVENTS,
    assignment,
    completed,
    paused,
    plan,
    running,
)
from tests.support.scripted_http import ScriptedService, answer, problem
from tests.support.shoal_command import Shoal

ONE = "/v1/rollouts/r17"
LISTED = [running().summary, replace(paused().summary, id="r16")]


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as one:
        one.on("POST", "/v1/rollouts/plan", answer(plan()))
        one.on("POST", "/v1/rollouts", answer(running()))
        one.on("GET", "/v1/rollouts", answer(LISTED))
        one.on("GET", ONE, answer(running()))
        one.on("GET", f"{ONE}/events", answer(EVENTS), answer([]))
        one.on("POST", f"{ONE}/orders", answer(paused()))
        yield one


@pytest.fixture
def shoal(service: ScriptedService) -> Shoal:
    return Shoal(service.url, actor="ada")


def wish(service: ScriptedService, number: int = 0) -> RolloutWish:
    return msgspec.json.decode(service.requests[number].body, type=RolloutWish)


def test_a_plan_shows_stages_obstacles_costs_and_how_to_begin(
    shoal: Shoal, service: ScriptedService
) -> None:
    out = shoal.ok(
        *("rollout", "plan", "wine/3", "--to", "site=oslo and not tag:lab", "--soak", "1h")
    ).out
    assert "wine/3 into slot wine" in out
    assert "1,000 in 5 stages" in out
    assert "1.2 GB" in out
    assert "at least 2 h 40 min" in out
    assert "behind the last stage  2: drill-1, drill-2" in out
    assert "downloads take no time; no device fails" in out
    assert "press-0, press-1, press-2, press-3, press-4 and 4 more" in out
    assert "line-9  memory  needs 64 MB, has 48 MB" in out
    assert "oven-3  taken   r16 is at work on slot wine" in out
    assert out.splitlines()[-1] == (
        "nothing was changed; to begin: shoal rollout start wine/3 "
        "--to 'site=oslo and not tag:lab' --seed 7 --set soak_s=1h"
    )
    assert wish(service) == RolloutWish(
        module="wine", version=3, to="site=oslo and not tag:lab", policy=Policy(soak_s=3_600)
    )
    again = shoal.ok("rollout", "plan", "wine", "--to", "all", "--json").json(RolloutPlan)
    assert again == plan()


def test_what_is_wrong_with_many_devices_alike_is_said_once(
    shoal: Shoal, service: ScriptedService
) -> None:
    taken = tuple(
        Obstacle(device=f"saw-{number}", code="taken", text="r16 is at work on slot wine")
        for number in range(1, 80)
    )
    other = Obstacle(device="oven-1", code="taken", text="r14 is at work on slot wine")
    crowded = replace(plan(), unfit=(), conflicts=(*taken, other))
    service.on("POST", "/v1/rollouts/plan", answer(crowded))
    out = shoal.ok("rollout", "plan", "wine", "--to", "all").out
    assert "in conflict with what is there, 80 devices:" in out
    assert "saw-1, saw-2, saw-3, saw-4, saw-5 and 74 more  taken   r16 is at work" in out
    assert out.count("r16 is at work") == 1
    started = shoal.ok("rollout", "start", "wine", "--to", "all").err
    assert started.count("r16 is at work") == 1
    assert "oven-1: r14 is at work" in started


def test_a_plan_for_nobody_says_that_there_is_nothing_to_begin(
    shoal: Shoal, service: ScriptedService
) -> None:
    empty = replace(plan(), cohort=0, stages=(), unfit=(), conflicts=())
    service.on("POST", "/v1/rollouts/plan", answer(empty))
    out = shoal.ok("rollout", "plan", "wine", "--to", "all").out
    assert out.splitlines()[-1].endswith("no device would get it")


def test_a_start_names_what_stands_in_the_way_before_it_begins(
    shoal: Shoal, service: ScriptedService, tmp_path: Path
) -> None:
    policy = tmp_path / "careful.toml"
    policy.write_text('stages = ["1", "100%"]\nsoak_s = 60\n')
    outcome = shoal.ok(
        *("rollout", "start", "wine", "--to", "all", "--policy", str(policy), "--soak", "2m"),
        *("--approval", "--on-error", "rollback", "--set", "gates.miss=0.01", "--seed", "7"),
        *("--input-topic", "a/b", "--reason", "better recall"),
    )
    assert outcome.err.splitlines() == [
        (
            "warning: left out, cannot take it, 2 devices: line-9: needs 64 MB, has 48 MB; line-8: "
            "opset 23, its onnxruntime knows 21"
        ),
        "warning: in conflict with what is there, 1 device: oven-3: r16 is at work on slot wine",
    ]
    assert outcome.out == "r17 running: started by ada\nwatch it: shoal rollout watch r17\n"
    planned, made = (msgspec.json.decode(r.body, type=RolloutWish) for r in service.requests)
    assert planned == made
    assert made.version is None
    assert (made.policy.stages, made.policy.soak_s) == (("1", "100%"), 120)
    assert made.policy.gates is not None
    assert (made.policy.gates.miss, made.policy.approval) == (0.01, True)
    assert (made.policy.on_error, made.config.input_topic) == ("rollback", "a/b")
    assert (made.seed, made.reason) == (7, "better recall")


def test_a_start_only_if_the_way_is_clear_begins_nothing_else(
    shoal: Shoal, service: ScriptedService
) -> None:
    outcome = shoal.run("rollout", "start", "wine", "--to", "all", "--if-clear")
    assert outcome.code == 1
    assert outcome.err.startswith(
        "error: expected a clear way, found left out, cannot take it, 2 devices"
    )
    assert [request.path for request in service.requests] == ["/v1/rollouts/plan"]


def test_the_version_of_each_devices_own_module_may_be_named(
    shoal: Shoal, service: ScriptedService
) -> None:
    shoal.ok("rollout", "plan", "--per-device", "m-for-{device}/2", "--slot", "m", "--to", "all")
    assert (wish(service).module, wish(service).version) == ("m-for-{device}", 2)


def test_a_draft_is_made_and_started_later(shoal: Shoal, service: ScriptedService) -> None:
    shoal.ok(
        *("rollout", "start", "--per-device", "m-for-{device}", "--slot", "m", "--to", "all"),
        "--draft",
    )
    assert service.requests[1].query == {"start": ["false"]}
    assert (wish(service, 1).module, wish(service, 1).per_device) == ("m-for-{device}", True)
    shoal.ok("rollout", "start", "r17", "--reason", "now")
    order = msgspec.json.decode(service.requests[2].body, type=RolloutOrder)
    assert order == RolloutOrder(action="start", reason="now")


@pytest.mark.parametrize(
    "arguments",
    [
        ("start",),
        ("start", "--to", "all"),
        ("start", "wine", "--per-device", "m-{device}", "--to", "all"),
        ("start", "--per-device", "m-for-each", "--slot", "m", "--to", "all"),
        ("start", "--per-device", "m-for-{device}", "--to", "all"),
        ("start", "--per-device", "m-for-{device}/new", "--slot", "m", "--to", "all"),
        ("start", "wine", "--to", "all", "--of", "press"),
        ("start", "wine", "--to", "all", "--shadow", "--uplink", "all"),
        ("start", "--per-device", "m-for-{device}", "--to", "all", "--shadow"),
        ("start", "r17", "--soak", "1h"),
        ("start", "r17", "--slot", "m"),
        ("start", "r17", "--draft"),
        ("plan", "wine"),
        ("status", "r17", "--stage", "2"),
        ("status", "r17", "--devices", "--stage", "6"),
        ("status", "r17", "--devices", "--state", "happy"),
        ("watch",),
    ],
)
def test_wrong_usage_is_said_as_such(shoal: Shoal, arguments: tuple[str, ...]) -> None:
    outcome = shoal.run("rollout", *arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("option", ["--stages", "--soak", "--on-error"])
def test_an_option_of_nothing_is_not_taken_for_one_that_was_not_given(
    shoal: Shoal, service: ScriptedService, option: str
) -> None:
    outcome = shoal.run("rollout", "start", "wine", "--to", "all", option, "")
    assert outcome.code == 1
    assert "the policy" in outcome.err
    assert not service.requests


def test_a_rollout_of_shadows_goes_beside_a_slot_and_is_planned_as_such(
    shoal: Shoal, service: ScriptedService
) -> None:
    typed = ("wine/3", "--to", "all", "--shadow", "--of", "press")
    out = shoal.ok("rollout", "plan", *typed).out
    assert out.splitlines()[-1].endswith(
        "shoal rollout start wine/3 --to all --of press --seed 7 --shadow"
    )
    shoal.ok("rollout", "start", *typed)
    shoal.ok("rollout", "start", "wine/3", "--to", "all", "--shadow")
    assert wish(service, 2) == RolloutWish(module="wine", version=3, to="all", shadows="press")
    assert wish(service, 4).shadows == "wine"


@pytest.mark.parametrize("option", ["--slot", "--of"])
def test_a_slot_that_is_no_name_is_refused_before_anything_is_asked(
    shoal: Shoal, service: ScriptedService, option: str
) -> None:
    outcome = shoal.run("rollout", "start", "wine", "--to", "all", "--shadow", option, "Bad Slot")
    assert outcome.code == 1
    assert "slot name expected 1-63 characters" in outcome.err
    assert not service.requests


def test_a_policy_that_is_not_there_says_how_one_is_made(shoal: Shoal, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    outcome = shoal.run("rollout", "start", "wine", "--to", "all", "--policy", missing)
    assert outcome.code == 1
    assert "shoal rollout policy > policy.toml" in outcome.err
    made = shoal.ok("rollout", "policy").out
    (tmp_path / "none.toml").write_text(made)
    shoal.ok("rollout", "start", "wine", "--to", "all", "--policy", missing)
    assert shoal.ok("rollout", "policy", "--json").json(Policy) == Policy()


def test_rollouts_are_listed_with_how_far_they_are(shoal: Shoal, service: ScriptedService) -> None:
    header, first, second = shoal.ok("rollout", "list", "--active").out.splitlines()
    assert header.split()[:3] == ["id", "module", "state"]
    assert first.split()[:7] == ["r17", "wine/3", "running", "2/5", "filling", "1", "1,000"]
    assert second.split()[2] == "paused"
    states = service.requests[0].query["state"]
    assert "running" in states
    assert "completed" not in states
    found = shoal.ok("rollout", "list", "--json").json(list[RolloutSummary])
    assert found == LISTED


def test_a_status_shows_the_rollout_and_its_devices(shoal: Shoal, service: ScriptedService) -> None:
    devices = [
        assignment("line-1", AssignmentState.REJECTED, reason="opset 23", deadline=None),
        assignment("line-2", AssignmentState.QUEUED, previous_version=0),
    ]
    service.on("GET", f"{ONE}/assignments", answer(devices))
    out = shoal.ok(
        "rollout", "status", "17", "--devices", "--stage", "2", "--state", "rejected"
    ).out
    assert "filling, as shadow" in out
    assert "opset 23" in out
    asked = service.requests[-1].query
    assert (asked["stage"], asked["state"]) == (["1"], ["rejected"])
    only = shoal.ok("rollout", "status", "r17", "--devices", "--json")
    assert only.json(list[AssignmentSummary]) == devices
    assert shoal.ok("rollout", "status", "r17", "--json").json(RolloutDetail) == running()


def test_a_history_tells_who_did_what_and_why(shoal: Shoal, service: ScriptedService) -> None:
    lines = shoal.ok("rollout", "history", "r17").out.splitlines()
    told = [line[21:] for line in lines]
    assert told[1] == "rollout draft, by ada: better recall"
    assert told[5:8] == [
        "stage 1 judging -> passed, by service: 2 gates passed",
        "  error rate: passed: none of 2,400 messages failed",
        "stage 2 waiting -> filling, by service",
    ]
    assert service.requests[0].query["overview"] == ["true"]
    service.on("GET", f"{ONE}/events", answer(EVENTS))
    found = shoal.ok("rollout", "history", "r17", "--device", "line-1", "--json")
    assert found.json(list[RolloutEvent]) == list(EVENTS)
    assert "overview" not in service.requests[-1].query


@pytest.mark.parametrize("action", ["pause", "resume", "approve", "abort", "rollback"])
def test_an_order_says_where_the_rollout_stands_and_what_comes_next(
    shoal: Shoal, service: ScriptedService, action: str
) -> None:
    out = shoal.ok("rollout", action, "r17", "--reason", "night").out.splitlines()
    assert out[0].startswith("r17 paused: stage 2 failed: its answers differ")
    assert out[1].startswith("what to do: `shoal rollout rollback r17`")
    sent = msgspec.json.decode(service.requests[0].body, type=RolloutOrder)
    assert (sent.action, sent.reason) == (action, "night")
    assert service.requests[0].headers["x-shoal-actor"] == "ada"
    assert shoal.ok("rollout", action, "r17", "--json").json(RolloutDetail) == paused()


def test_a_rollback_can_be_looked_at_before_it_begins(
    shoal: Shoal, service: ScriptedService
) -> None:
    devices = [
        assignment("line-1", AssignmentState.COMMITTED),
        assignment("line-2", AssignmentState.COMMITTED),
        assignment("line-3", AssignmentState.TRIAL, previous_version=0),
        assignment("line-4", AssignmentState.SHADOW),
        assignment("line-5", AssignmentState.QUEUED, revision=0),
        assignment("line-6", AssignmentState.SUPERSEDED),
    ]
    service.on("GET", f"{ONE}/assignments", answer(devices))
    out = shoal.ok("rollout", "rollback", "r17", "--dry-run").out
    assert out.splitlines() == [
        "4 devices of r17 would go back:",
        "  2 to version 2",
        "  1 to nothing: slot wine is removed there",
        "  1 to no shadow: what answers there stays",
        "nothing was changed; to begin: shoal rollout rollback r17",
    ]
    assert {request.method for request in service.requests} == {"GET"}
    found = shoal.ok("rollout", "rollback", "r17", "--dry-run", "--json")
    assert found.json(list[AssignmentSummary]) == devices[:4]
    over = replace(running(), summary=replace(running().summary, state=RolloutState.CANCELLED))
    service.on("GET", ONE, answer(over))
    refused = shoal.run("rollout", "rollback", "r17", "--dry-run")
    assert "r17 is cancelled, and cannot be taken back" in refused.err


def test_a_watch_outlives_the_service_and_ends_with_the_rollout(
    shoal: Shoal, service: ScriptedService
) -> None:
    away = problem(503, "unavailable", "restarting", "wait")
    service.on("GET", ONE, answer(running()), away, answer(running()), answer(completed()))
    outcome = shoal.ok("rollout", "watch", "r17", "--every", "0.2")
    assert "lost the service, trying again" in outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].startswith("r17: wine/3 into slot wine")
    assert lines[-1] == "r17 completed degraded: 2 of 1,000 devices do not run it"
    assert sum("ready -> running, started by ada" in line for line in lines) == 1  # no event twice
    events = [r for r in service.requests if r.path == f"{ONE}/events"]
    assert [request.query["after_id"] for request in events] == [["0"], ["12"], ["12"]]


def test_a_watch_ends_where_a_person_is_needed_if_asked_to(
    shoal: Shoal, service: ScriptedService
) -> None:
    service.on("GET", ONE, answer(running()), answer(paused()))
    outcome = shoal.run("rollout", "watch", "r17", "--every", "0.2", "--until-stop")
    assert outcome.code == 1
    assert "gate disagreement failed, measured 31 %, limit 6 %, of 420" in outcome.out
    assert outcome.out.splitlines()[-1].startswith("r17 paused: stage 2 failed")


def test_a_watch_can_be_bounded_also_while_the_service_is_away(
    shoal: Shoal, service: ScriptedService
) -> None:
    service.on("GET", ONE, answer(running()), problem(503, "unavailable"))
    outcome = shoal.run("rollout", "watch", "r17", "--every", "0.2", "--for", "0.5")
    assert outcome.code == 1
    assert outcome.out.splitlines()[-1] == "r17 running: started by ada"


def test_a_watch_in_json_is_a_line_for_every_change(shoal: Shoal, service: ScriptedService) -> None:
    rolled_back = running(state=RolloutState.ROLLED_BACK, ended=1.0)
    service.on("GET", ONE, answer(running()), answer(running()), answer(rolled_back))
    outcome = shoal.run("rollout", "watch", "r17", "--every", "0.2", "--json")
    assert outcome.code == 1
    found = [msgspec.json.decode(line, type=RolloutDetail) for line in outcome.out.splitlines()]
    assert found == [running(), rolled_back]


def test_a_start_can_be_watched_to_its_end(shoal: Shoal, service: ScriptedService) -> None:
    service.on("GET", ONE, answer(completed()))
    out = shoal.ok("rollout", "start", "wine", "--to", "all", "--watch").out
    assert "r17 running: started by ada" in out
    assert out.splitlines()[-1].startswith("r17 completed degraded")


def test_what_the_service_refuses_keeps_its_words(shoal: Shoal, service: ScriptedService) -> None:
    service.on("POST", f"{ONE}/orders", problem(409, "own_approval", "ada asked", "ask bo"))
    outcome = shoal.run("rollout", "approve", "r17")
    assert (outcome.code, outcome.err) == (1, "error: ada asked\nwhat to do: ask bo\n")


def test_a_deployment_names_its_rollout(shoal: Shoal, service: ScriptedService) -> None:
    result = DeploymentResult(
        module="wine", version=3, digest="sha256:" + "a" * 64, slot="wine",
        revisions={"line-1": 4}, rollout="r18",
    )  # fmt: skip
    service.on("POST", "/v1/deployments", answer(result))
    out = shoal.ok("deploy", "wine", "--to", "line-1").out
    assert out == "wine/3 wanted in slot wine on line-1; it is rollout r18\n"
