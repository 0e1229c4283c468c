"""`shoal device retry` and `restart`: what is asked of the service, and what a person is told."""

import json

import pytest

from tests.support.scripted_http import ScriptedService, answer, problem
from tests.support.shoal_command import Shoal

PATH = "/v1/devices/line-1/commands"


@pytest.mark.parametrize(
    ("command", "name", "said"),
    [
        ("retry", "retry-slot", "line-1 tries wine again\n"),
        ("restart", "restart-slot", "line-1 starts wine again\n"),
    ],
)
def test_a_slot_is_named_and_the_answer_told(command: str, name: str, said: str) -> None:
    done = {"id": "7f", "device": "line-1", "name": name, "slot": "wine"}
    with ScriptedService() as service:
        service.on("POST", PATH, answer(done))
        shoal = Shoal(service.url)
        assert shoal.ok("device", command, "line-1", "wine", "--reason", "why not").out == said
        assert shoal.ok("device", command, "line-1", "wine", "--json").json() == done
    asked = service.requests[0]
    assert json.loads(asked.body) == {"name": name, "slot": "wine", "timeout_s": 10.0}
    assert asked.headers["x-shoal-reason"] == "why not"


def test_what_the_device_refuses_ends_the_command_with_its_words() -> None:
    with ScriptedService() as service:
        service.on("POST", PATH, problem(409, "not_found", "device 'line-1' refused: no slot", ""))
        outcome = Shoal(service.url).run("device", "retry", "line-1", "wine")
    assert (outcome.code, outcome.err) == (1, "error: device 'line-1' refused: no slot\n")
