"""The HTTP API: status codes, problems, ranges, the audit trail of who asked."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient

from cloud_sync.api.ranges import Span, choose_span
from cloud_sync.api.site import build
from edge_agent.contract.manifest import canonical
from edge_agent.contract.names import digest_of
from tests.support.cloud import Cloud, manifest_of

DATA = bytes(range(256)) * 100
DIGEST = digest_of(DATA)
ETAG = f'"{DIGEST}"'

Http = TestClient  # type: ignore[type-arg]


@pytest.fixture
def http(parts_of_cloud: Cloud) -> Iterator[Http]:
    with TestClient(build(parts_of_cloud.parts, "0")) as client:
        yield client


def test_a_blob_goes_up_once_and_comes_down(http: Http) -> None:
    query = {"digests": [DIGEST]}
    assert http.post("/v1/blobs/missing", json=query).json() == {"missing": [DIGEST]}
    assert http.put(f"/v1/blobs/{DIGEST}", content=DATA).status_code == 201
    assert http.put(f"/v1/blobs/{DIGEST}", content=DATA).status_code == 200
    assert http.post("/v1/blobs/missing", json=query).json() == {"missing": []}
    found = http.get(f"/v1/blobs/{DIGEST}")
    assert (found.content, found.headers["etag"]) == (DATA, ETAG)
    look = http.head(f"/v1/blobs/{DIGEST}")
    assert (look.status_code, look.headers["content-length"]) == (200, str(len(DATA)))
    assert look.content == b""


def test_a_broken_download_is_resumed(http: Http) -> None:
    http.put(f"/v1/blobs/{DIGEST}", content=DATA)
    rest = http.get(f"/v1/blobs/{DIGEST}", headers={"Range": "bytes=100-", "If-Range": ETAG})
    assert (rest.status_code, rest.content) == (206, DATA[100:])
    assert rest.headers["content-range"] == f"bytes 100-{len(DATA) - 1}/{len(DATA)}"
    other = http.get(f"/v1/blobs/{DIGEST}", headers={"Range": "bytes=100-", "If-Range": '"x"'})
    assert (other.status_code, other.content) == (200, DATA)
    beyond = http.get(f"/v1/blobs/{DIGEST}", headers={"Range": f"bytes={len(DATA)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Span(0, 10, False)),
        ("bytes=0-0", Span(0, 1, True)),
        ("bytes=2-", Span(2, 8, True)),
        ("bytes=2-99", Span(2, 8, True)),
        ("bytes=-3", Span(7, 3, True)),
        ("bytes=-99", Span(0, 10, True)),
        ("bytes=-0", None),
        ("bytes=10-", None),
        ("bytes=5-2", Span(0, 10, False)),
        ("bytes=-", Span(0, 10, False)),
        ("bytes=0-1,4-5", Span(0, 10, False)),
        ("rows=0-1", Span(0, 10, False)),
    ],
)
def test_which_part_a_range_means(header: str | None, expected: Span | None) -> None:
    assert choose_span(10, "e", header, None) == expected


def test_an_empty_file_has_no_part() -> None:
    assert choose_span(0, "e", None, None) == Span(0, 0, False)
    assert choose_span(0, "e", "bytes=0-", None) is None


def test_wrong_bytes_are_422_and_not_kept(http: Http) -> None:
    answer = http.put(f"/v1/blobs/{DIGEST}", content=DATA[:-1])
    assert (answer.status_code, answer.json()["code"]) == (422, "integrity")
    assert http.get(f"/v1/blobs/{DIGEST}").status_code == 404


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_blob_over_the_limit_is_413(http: Http, is_streamed: bool) -> None:
    data = b"x" * (2**20 + 1)
    content = iter([data[:600_000], data[600_000:]]) if is_streamed else data
    answer = http.put(f"/v1/blobs/{DIGEST}", content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_body_over_the_limit_is_413(http: Http) -> None:
    answer = http.post("/v1/deployments", content=b" " * (9 * 2**20))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/blobs/sha256:00", 400, "digest_invalid"),
        ("GET", f"/v1/blobs/{DIGEST}", 404, "blob_not_found"),
        ("GET", "/v1/devices/nobody", 404, "device_not_found"),
        ("GET", "/v1/devices/nobody/health", 404, "device_not_found"),
        ("GET", "/v1/models/nothing", 404, "model_not_found"),
        ("GET", "/v1/modules/nothing/1", 404, "module_not_found"),
        ("DELETE", "/v1/modules/nothing/1", 404, "module_not_found"),
        ("PUT", "/v1/devices/Not%20A%20Name", 400, "name_invalid"),
        ("GET", "/v1/devices?tag=nonsense", 400, "invalid_input"),
        ("GET", "/v1/events?device=nobody", 404, "device_not_found"),
        ("GET", "/v1/results?device=nobody", 404, "device_not_found"),
        ("GET", "/v1/labels?device=nobody", 404, "device_not_found"),
        ("GET", "/v1/events?limit=0", 400, "invalid_input"),
        ("GET", "/v1/events?limit=many", 400, "invalid_input"),
        ("POST", "/v1/deployments", 400, "invalid_input"),
        ("GET", "/v1/rollouts/r9", 404, "rollout_not_found"),
        ("GET", "/v1/rollouts/r9/events", 404, "rollout_not_found"),
        ("GET", "/v1/rollouts/x", 400, "rollout_id_invalid"),
        ("GET", "/v1/rollouts?state=odd", 400, "invalid_input"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("DELETE", "/v1/info", 405, "method_not_allowed"),
    ],
)
def test_every_error_is_a_problem(
    http: Http, method: str, path: str, status: int, code: str
) -> None:
    answer = http.request(method, path)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["text"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"module": "probe"}, "the request needs the key 'to'"),
        ({"module": "probe", "to": ""}, "to expected a text of length >= 1"),
        ({"module": "probe", "to": 3}, "to expected a text, found a whole number"),
        (
            {"module": "probe", "to": "all", "policy": {"on_error": "shrug"}},
            "policy.on_error invalid enum value 'shrug'",
        ),
        ([1], "the request expected a table, found a list"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_in_words_of_people(
    http: Http, body: object, text: str
) -> None:
    problem = http.post("/v1/rollouts", json=body).json()
    assert (problem["code"], problem["text"]) == ("invalid_input", text)
    assert problem["hint"] == "the API is described at /v1/openapi.json"


def test_publishing_takes_the_very_bytes(http: Http, parts_of_cloud: Cloud) -> None:
    data = canonical(manifest_of(parts_of_cloud.store(b"model")))
    first = http.post("/v1/modules", content=data)
    assert (first.status_code, first.json()["module"]["digest"]) == (201, digest_of(data))
    assert http.post("/v1/modules", content=data).status_code == 200
    assert http.get("/v1/modules/probe/1/manifest").content == data
    assert http.get(f"/v1/blobs/{digest_of(data)}").content == data


def test_delete_in_use_is_409_and_names_the_devices(http: Http, parts_of_cloud: Cloud) -> None:
    parts_of_cloud.publish()
    http.put("/v1/devices/line-1")
    assert http.post("/v1/deployments", json={"module": "probe", "to": "line-1"}).is_success
    answer = http.delete("/v1/modules/probe/1")
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert "line-1" in answer.json()["text"]


def test_who_asked_and_why_is_in_the_audit_log(http: Http, parts_of_cloud: Cloud) -> None:
    parts_of_cloud.publish()
    http.put("/v1/devices/line-1")
    headers = {"X-Shoal-Actor": "Zo%C3%AB", "X-Shoal-Reason": "too%20old"}
    http.post("/v1/modules/probe/1/retire", headers=headers)
    retired, registered = http.get("/v1/audit?limit=2").json()
    assert (retired["action"], retired["actor"], retired["reason"]) == (
        "module.retire",
        "Zoë",
        "too old",
    )
    assert registered["actor"] == "anonymous"


CHANGING = (
    ("PUT", "/v1/devices/line-9", None),
    ("PATCH", "/v1/devices/line-9/tags", {"set": {"a": "b"}}),
    ("POST", "/v1/groups/line-9", {"add": "line-9"}),
    ("POST", "/v1/config", {"layer": "group", "name": "line-9", "set": {"uplink": "all"}}),
    ("DELETE", "/v1/groups/line-9", None),
    ("POST", "/v1/rollouts", {"module": "probe", "to": "line-9"}),
    ("POST", "/v1/rollouts/r1/orders", {"action": "abort"}),
    ("POST", "/v1/deployments", {"module": "probe", "to": "line-9"}),
    ("POST", "/v1/removals", {"slot": "probe", "to": "line-9"}),
    ("PATCH", "/v1/models/shuttle/1/tags", {"set": {"a": "b"}}),
    ("POST", "/v1/models/shuttle/1/retire", None),
    ("DELETE", "/v1/models/shuttle/1", None),
    ("POST", "/v1/modules/probe/1/retire", None),
    ("DELETE", "/v1/modules/probe/1", None),
    ("POST", "/v1/retirements", {"kind": "module", "name": "prob*"}),
    ("POST", "/v1/deletions", {"kind": "module", "name": "prob*"}),
    (
        "POST",
        "/v1/labels",
        {"labels": [{"device": "line-9", "slot": "probe", "id": 1, "value": 1}]},
    ),
    ("DELETE", "/v1/devices/line-9", None),
)


def test_every_change_leaves_a_trace(http: Http, parts_of_cloud: Cloud) -> None:
    parts_of_cloud.register()
    parts_of_cloud.publish()
    parts_of_cloud.publish(data=b"second")
    for method, path, body in CHANGING:
        before = http.get("/v1/audit?limit=1").json()[0]["id"]
        answer = http.request(method, path, json=body)
        assert answer.is_success, answer.text
        assert http.get("/v1/audit?limit=1").json()[0]["id"] > before, path


def test_every_route_that_changes_something_is_in_the_list_above(http: Http) -> None:
    paths = http.get("/v1/openapi.json").json()["paths"]
    changing = {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method in methods
        if method not in ("get", "head")
    }
    listed = {
        f"{method} {re.sub(r'/(line-9|shuttle|probe)(?=/|$)', '/{name}', path)}"
        for method, path, _ in CHANGING
    }
    listed = {re.sub(r"/1(?=/|$)", "/{version}", path) for path in listed}
    listed = {re.sub(r"/r1(?=/|$)", "/{rollout}", path) for path in listed}
    known = {path.replace("{device}", "{name}") for path in changing}
    # Blobs change nothing that anybody sees, and a plan nothing at all; commands and publishing
    # have tests of their own.
    assert known - listed == {
        "POST /v1/devices/{name}/commands",
        "POST /v1/blobs/missing",
        "PUT /v1/blobs/{digest}",
        "POST /v1/models/{name}",
        "POST /v1/modules",
        "POST /v1/rollouts/plan",
    }


def test_the_database_does_not_show_through_an_internal_error(
    http: Http, parts_of_cloud: Cloud
) -> None:
    with parts_of_cloud.parts.database.write() as connection:
        connection.exec_driver_sql("DROP TABLE audit_log")
    answer = http.put("/v1/devices/line-1")
    assert answer.status_code in (500, 507)
    assert "Traceback" not in answer.text
    # Without its audit entry the change was not made either.
    assert http.get("/v1/devices/line-1").status_code == 404


def test_results_are_answered_as_they_were_sent(http: Http, tmp_path: Path) -> None:
    assert http.get("/v1/results").json() == []
    assert http.get("/v1/events?name=x*&since=0&after_id=0").json() == []
