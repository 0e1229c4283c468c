"""What clients of the Open Inference Protocol are told."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.messages import ShadowHealth
from edge_agent.daemon.http.limits import Limits
from edge_agent.runtime.door import Answer
from edge_agent.runtime.door_wire import DoorAsk, DoorReply
from tests.support.http_front import HttpFront, echo, slot_status


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpFront]:
    with HttpFront(tmp_path_factory.mktemp("http")) as running:
        running.add("shuttle", version=3)
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[HttpFront]:
    with HttpFront(tmp_path) as running:
        yield running


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_says_what_it_is(front: HttpFront, path: str) -> None:
    assert front.get(path) == (
        200,
        {"name": "shoal", "version": "1.2.3", "extensions": ["binary_tensor_data"]},
    )


def test_it_is_live_and_ready(front: HttpFront) -> None:
    assert front.get("/v2/health/live") == (200, {"live": True})
    assert front.get("/v2/health/ready/") == (200, {"ready": True})


@pytest.mark.parametrize("name", ["shuttle", "forest"])
@pytest.mark.parametrize("behind", ["", "/", "/versions/3", "/versions/3/"])
def test_a_model_is_found_by_its_slot_or_its_module(
    front: HttpFront, name: str, behind: str
) -> None:
    status, metadata = front.get(f"/v2/models/{name}{behind}")
    assert status == 200
    assert metadata == {
        "name": name,
        "versions": ["3"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [-1, 9]}],
        "outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}],
    }
    assert front.get(f"/v2/models/{name}{behind.rstrip('/')}/ready")[0] == 200


def test_another_version_is_not_found(front: HttpFront) -> None:
    for path in ("/v2/models/shuttle/versions/2", "/v2/models/shuttle/versions/2/ready"):
        status, answer = front.get(path)
        assert status == 404
        assert "runs version 3, asked was" in answer["error"]
    assert front.post("/v2/models/shuttle/versions/2/infer")[0] == 404


@pytest.mark.parametrize("name", ["shutle", "..%2Fagent", "%00", "UPPER", "a" * 5000])
def test_a_model_that_is_not_there_is_not_found(front: HttpFront, name: str) -> None:
    status, answer = front.get(f"/v2/models/{name}")
    assert status == 404
    assert answer["error"]
    assert len(answer["error"]) < 400


def test_a_misspelt_model_is_told_the_right_name(front: HttpFront) -> None:
    assert "did you mean 'shuttle'?" in front.get("/v2/models/shutle")[1]["error"]


def test_a_json_body_goes_to_the_worker_and_comes_back(front: HttpFront) -> None:
    status, headers, body = front.ask("POST", "/v2/models/shuttle/infer", b'{"inputs": []}')
    assert (status, body) == (200, b'{"inputs": []}')
    assert headers["content-type"] == "application/json"
    assert headers["inference-header-content-length"] is None


def test_the_length_header_says_where_the_json_ends_whatever_the_content_type(
    front: HttpFront,
) -> None:
    body = b'{"a":1}\x00\x01\x02'
    named = {"Inference-Header-Content-Length": "7", "Content-Type": "application/json"}
    for headers in (named, {"Inference-Header-Content-Length": "7"}):
        status, told, answer = front.ask("POST", "/v2/models/shuttle/infer", body, headers)
        assert (status, answer) == (200, body)
        assert told["inference-header-content-length"] == "7"
        assert told["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("length", ["-1", "8", "x", "1e3", "٣"])
def test_a_length_header_that_cannot_be_is_refused(front: HttpFront, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length.encode().decode("latin-1")}
    status, _, body = front.ask("POST", "/v2/models/shuttle/infer", b'{"a":1}', headers)
    assert status == 400
    assert "Inference-Header-Content-Length" in json.loads(body)["error"]


def test_the_repository_is_listed_and_never_changed(front: HttpFront) -> None:
    assert front.post("/v2/repository/index") == (
        200,
        [{"name": "shuttle", "version": "3", "state": "READY", "reason": ""}],
    )
    for verb in ("load", "unload"):
        status, answer = front.post(f"/v2/repository/models/shuttle/{verb}")
        assert status == 403
        assert "desired state" in answer["error"]
        assert "'shoal deploy' and 'shoal remove'" in answer["error"]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (DoorReply(outcome="invalid", code="wrong_shape", text="expected 9"), 400),
        (DoorReply(outcome="invalid", code="too_large", text="at most 5"), 413),
        (DoorReply(outcome="model", code="model_failed", text="it failed"), 500),
        (DoorReply(outcome="late", code="deadline", text="too late"), 504),
    ],
)
def test_a_refusal_of_the_worker_has_its_status_and_its_words(
    own: HttpFront, reply: DoorReply, status: int
) -> None:
    own.add(answer=lambda _ask, _body: (reply, b""))
    assert own.post("/v2/models/shuttle/infer") == (
        status,
        {"error": reply.text, "code": reply.code},
    )


def test_a_body_longer_than_the_module_takes_is_refused_before_it_is_sent(own: HttpFront) -> None:
    own.add(max_bytes=100)
    status, answer = own.post("/v2/models/shuttle/infer", b" " * 101)
    assert status == 413
    assert "input.max_bytes" in answer["error"]
    assert own.ask("POST", "/v2/models/shuttle/infer", b" " * 100)[0] == 200


def test_a_module_in_two_slots_must_be_asked_by_slot(own: HttpFront) -> None:
    own.add("left")
    own.add("right")
    status, answer = own.get("/v2/models/forest")
    assert status == 409
    assert "left, right" in answer["error"]
    assert own.get("/v2/models/left")[0] == 200


def test_a_slot_that_does_not_run_makes_the_server_unready(own: HttpFront) -> None:
    own.slots["shuttle"] = slot_status(state="crashed", error="crashed: by SIGSEGV")
    status, answer = own.get("/v2/health/ready")
    assert (status, answer["ready"]) == (503, False)
    assert own.post("/v2/repository/index")[1][0]["state"] == "UNAVAILABLE"
    status, answer = own.get("/v2/models/shuttle/ready")
    assert status == 503
    assert "by SIGSEGV" in answer["error"]


def test_a_shadow_answers_nobody(own: HttpFront) -> None:
    own.slots["next"] = slot_status(shadow=ShadowHealth(of="shuttle"))
    status, answer = own.post("/v2/models/next/infer")
    assert status == 503
    assert "shadow of 'shuttle'" in answer["error"]


def test_a_shadow_stands_in_nobodys_way(own: HttpFront) -> None:
    own.add("left")
    own.slots["next"] = slot_status(state="crashed", shadow=ShadowHealth(of="left"))
    assert own.get("/v2/models/forest")[0] == 200, "its module is asked for, in the only slot"
    assert own.get("/v2/health/ready")[0] == 200
    assert [entry["name"] for entry in own.post("/v2/repository/index")[1]] == ["left"]


def test_the_index_may_be_asked_for_what_is_ready_alone(own: HttpFront) -> None:
    own.add("left")
    own.slots["right"] = slot_status(state="crashed")
    named = {entry["name"] for entry in own.post("/v2/repository/index", b"")[1]}
    assert named == {"left", "right"}
    ready = own.post("/v2/repository/index", b'{"ready": true}')[1]
    assert [entry["name"] for entry in ready] == ["left"]
    assert own.post("/v2/repository/index", b"ready")[0] == 400


def test_a_question_that_nobody_answers_in_time_is_told_so(tmp_path: Path) -> None:
    release = threading.Event()

    def hang(ask: DoorAsk, body: bytes) -> Answer:
        release.wait(30)
        return echo(ask, body)

    with HttpFront(tmp_path, Limits(timeout_s=3)) as front:
        front.add(answer=hang)
        status, answer = front.post("/v2/models/shuttle/infer")
        release.set()
        assert status == 504
        assert answer["code"] == "deadline"


def test_an_agent_that_is_silent_is_told_of(own: HttpFront) -> None:
    own.add("shuttle")
    assert own.post("/v2/models/shuttle/infer")[0] == 200
    own._agent.stop()
    # What runs still answers; what must be asked of the agent is not made up.
    assert own.post("/v2/models/shuttle/infer")[0] == 200
    assert own.get("/v2/health/live")[0] == 200
