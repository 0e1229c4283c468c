import socket

import pytest

from cloud_sync.client import ShoalClient
from cloud_sync.client.transport import header_text, path_of
from cloud_sync.errors import (
    ConfigError,
    Conflict,
    ContractError,
    IntegrityError,
    InUse,
    InvalidInput,
    NotFound,
    ShoalError,
    StorageError,
    Unavailable,
    Unsupported,
)
from tests.support.brokers import free_port
from tests.support.scripted_http import Answer, ScriptedService, answer, problem

INFO = {
    "ok": True,
    "version": "1",
    "database": "sqlite",
    "broker": "embedded",
    "broker_connected": True,
    "broker_url": "mqtt://127.0.0.1:1883",
}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_input", InvalidInput),
        (400, "contract_invalid", ContractError),
        (400, "a_code_of_the_future", InvalidInput),
        (404, "not_found", NotFound),
        (409, "conflict", Conflict),
        (409, "in_use", InUse),
        (409, "a_code_of_the_future", Conflict),
        (413, "too_large", InvalidInput),
        (422, "integrity", IntegrityError),
        (400, "unsupported", Unsupported),
        (418, "strange", InvalidInput),
        (500, "strange", Unavailable),
        (503, "unavailable", Unavailable),
        (507, "storage", StorageError),
    ],
)
def test_a_problem_becomes_the_error_of_its_group(
    status: int, code: str, kind: type[ShoalError]
) -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", "/v1/info", problem(status, code, "what was found", "what to do"))
        with pytest.raises(ShoalError) as caught:
            client.telemetry.info()
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.text, caught.value.hint) == (
        code,
        "what was found",
        "what to do",
    )


def test_nobody_listening_is_unavailable_and_asks_for_the_service() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with ShoalClient(url) as client, pytest.raises(Unavailable) as caught:
        client.telemetry.info()
    assert "connection refused" in caught.value.text
    assert caught.value.hint == f"is cloud-sync serve running at {url}?"


def test_a_service_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with ShoalClient(url, timeout=0.2) as client, pytest.raises(Unavailable) as caught:
            client.telemetry.info()
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(
    "found",
    [
        Answer(404, b"<html>no such page</html>"),
        Answer(502, b""),
        Answer(302, b"", {"Location": "https://elsewhere/"}),
    ],
)
def test_another_program_on_that_port_is_not_taken_for_the_service(found: Answer) -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", "/v1/info", found)
        with pytest.raises(Unavailable) as caught:
            client.telemetry.info()
    assert caught.value.code == "not_shoal"


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"ok": "yes"}'])
def test_an_answer_of_another_shape_is_a_contract_error(body: bytes) -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        service.on("GET", "/v1/info", Answer(200, body))
        with pytest.raises(ContractError, match="cannot read"):
            client.telemetry.info()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://host", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigError):
        ShoalClient(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://alice:zebra-7@host",
        "https://zebra-7@host:8080",
        "http://alice:zebra-7/@host",
        "ftp://alice:zebra-7@host",
        "alice:zebra-7@host",
    ],
)
def test_a_password_in_the_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ShoalClient(url)
    assert "no user and no password" in caught.value.text
    assert "zebra" not in str(caught.value)
    assert "SHOAL_SERVER" in caught.value.hint
    assert caught.value.code == "user_in_url"


def test_actor_and_reason_travel_with_the_question_whatever_their_alphabet() -> None:
    with ScriptedService() as service, ShoalClient(service.url, actor="Jörg 100%") as client:
        service.on("DELETE", "/v1/modules/m/1", answer({"what": "module m/1"}))
        client.modules.delete("m", 1, reason="läuft nicht\nmehr")
    headers = service.requests[0].headers
    assert headers["x-shoal-actor"] == "J%C3%B6rg 100%25"
    assert headers["x-shoal-reason"] == "l%C3%A4uft nicht%0Amehr"


def test_plain_header_text_stays_as_it_is() -> None:
    assert header_text("ada (ops), #4") == "ada (ops), #4"


def test_a_strange_name_cannot_become_another_path() -> None:
    assert path_of("models", "../info", 1) == "/v1/models/..%2Finfo/1"


def test_an_answer_longer_than_its_bound_is_cut_off() -> None:
    with ScriptedService() as service, ShoalClient(service.url) as client:
        digest = "sha256:" + "0" * 64
        service.on("GET", f"/v1/blobs/{digest}", Answer(200, b"x" * 1000))
        with pytest.raises(ContractError) as caught:
            client.blobs.read(digest, limit_bytes=999)
    assert caught.value.code == "too_large"
