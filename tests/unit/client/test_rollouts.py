"""What `client.rollouts` asks of the service, and what it makes of the answers."""

import msgspec
import pytest

from cloud_sync.client import ShoalClient
from cloud_sync.client.rollouts import EVENTS_AT_ONCE, rollout_id
from cloud_sync.errors import Conflict, InvalidInput
from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutOrder,
    RolloutState,
    RolloutWish,
)
from tests.support.rollout_samples import EVENTS, assignment, event, plan, running
from tests.support.scripted_http import ScriptedService, answer, problem

WISH = RolloutWish(module="wine", to="site=oslo", seed=7)


@pytest.mark.parametrize("text", ["r17", "R17", "17", "r017", " r17 "])
def test_an_id_is_read_as_people_write_it(text: str) -> None:
    assert rollout_id(text) == "r17"


@pytest.mark.parametrize("text", ["", "r", "wine", "r-1", "r1.5", "r٣", "r" + "9" * 19])
def test_what_is_no_id_is_refused_before_anything_is_asked(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rollout_id(text)
    assert refused.value.code == "rollout_id_invalid"
    assert "shoal rollout list" in refused.value.hint


def test_a_wish_is_planned_and_made_with_all_its_policy() -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("POST", "/v1/rollouts/plan", answer(plan()))
        service.on("POST", "/v1/rollouts", answer(running()))
        assert client.rollouts.plan(WISH) == plan()
        assert client.rollouts.create(WISH) == running()
        client.rollouts.create(WISH, start=False)
    planned, started, drafted = service.requests
    assert msgspec.json.decode(planned.body, type=RolloutWish) == WISH
    assert msgspec.json.decode(started.body, type=RolloutWish) == WISH
    assert (started.query, drafted.query) == ({"start": ["true"]}, {"start": ["false"]})


def test_rollouts_and_assignments_are_filtered_by_the_service() -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", "/v1/rollouts", answer([running().summary]))
        found = assignment("line-1", AssignmentState.TRIAL)
        service.on("GET", "/v1/rollouts/r17/assignments", answer([found]))
        states = [RolloutState.RUNNING, RolloutState.PAUSED]
        assert list(client.rollouts.search(module="wine*", states=states)) == [running().summary]
        trying = client.rollouts.assignments("17", stage=1, states=[AssignmentState.TRIAL])
        assert list(trying) == [found]
    listed, assigned = service.requests
    assert listed.query["module"] == ["wine*"]
    assert listed.query["state"] == ["running", "paused"]
    assert (assigned.query["stage"], assigned.query["state"]) == (["1"], ["trial"])


def test_events_are_followed_page_by_page_and_none_is_lost() -> None:
    full = [
        event(number, "queued", "offered", device="d") for number in range(1, EVENTS_AT_ONCE + 1)
    ]
    last = event(EVENTS_AT_ONCE + 5, "offered", "committed", device="d")
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", "/v1/rollouts/r17/events", answer(full), answer([last]))
        assert list(client.rollouts.events("r17")) == [*full, last]
        service.on("GET", "/v1/rollouts/r17/events", answer(EVENTS[:2]))
        assert list(client.rollouts.events("r17", after_id=3, overview=True, limit=2)) == [
            *EVENTS[:2]
        ]
    first, second, third = service.requests
    assert (first.query["after_id"], second.query["after_id"]) == (["0"], [str(EVENTS_AT_ONCE)])
    assert (third.query["overview"], third.query["limit"]) == (["true"], ["2"])


def test_an_order_carries_its_reason_and_a_refusal_its_code() -> None:
    refused = problem(409, "own_approval", "ada asked for it", "let somebody else approve it")
    with ScriptedService() as service, ShoalClient(service.url, actor="ada") as client:
        service.on("POST", "/v1/rollouts/r17/orders", answer(running()), refused)
        assert client.rollouts.order("r17", "pause", reason="night").summary.id == "r17"
        with pytest.raises(Conflict) as caught:
            client.rollouts.order("r17", "approve")
    assert caught.value.code == "own_approval"
    sent = msgspec.json.decode(service.requests[0].body, type=RolloutOrder)
    assert sent == RolloutOrder(action="pause", reason="night")
    assert service.requests[0].headers["x-shoal-actor"] == "ada"
