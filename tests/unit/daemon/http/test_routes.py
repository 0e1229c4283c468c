import pytest

from edge_agent.daemon.http.request import Refused
from edge_agent.daemon.http.routes import Route, route_of


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/v2", Route("server")),
        ("GET", "/v2/", Route("server")),
        ("GET", "/v2/health/live", Route("live")),
        ("HEAD", "/v2/health/ready/", Route("ready")),
        ("GET", "/v2/models/a", Route("metadata", "a")),
        ("GET", "/v2/models/a/", Route("metadata", "a")),
        ("GET", "/v2/models/a/versions/3", Route("metadata", "a", "3")),
        ("GET", "/v2/models/a/ready", Route("model_ready", "a")),
        ("GET", "/v2/models/a/versions/3/ready", Route("model_ready", "a", "3")),
        ("POST", "/v2/models/a/infer", Route("infer", "a")),
        ("POST", "/v2/models/a/versions/3/infer/", Route("infer", "a", "3")),
        ("POST", "/v2/models/a%20b/infer", Route("infer", "a b")),
        ("POST", "/v2/repository/index", Route("index")),
        ("POST", "/v2/repository/models/a/load", Route("load", "a")),
        ("POST", "/v2/repository/models/a/unload", Route("unload", "a")),
        ("GET", "/metrics", Route("metrics")),
    ],
)
def test_a_path_is_a_question(method: str, path: str, route: Route) -> None:
    assert route_of(method, path) == route


@pytest.mark.parametrize(
    "path",
    ["", "/", "v2", "/v1/models/a", "/v2/models", "/v2/models//infer", "/v2/models/a/versions",
     "/v2/models/a/versions/3/stats", "/v2/health", "/metrics/more", "//v2"],
)  # fmt: skip
def test_any_other_path_is_not_found(path: str) -> None:
    with pytest.raises(Refused, match="nothing is at") as refused:
        route_of("GET", path)
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v2", "GET, HEAD"),
        ("GET", "/v2/models/a/infer", "POST"),
        ("DELETE", "/v2/models/a", "GET, HEAD"),
        ("GET", "/v2/repository/index", "POST"),
    ],
)
def test_a_wrong_method_names_the_right_one(method: str, path: str, allowed: str) -> None:
    with pytest.raises(Refused) as refused:
        route_of(method, path)
    assert refused.value.status == 405
    assert ("allow", allowed) in refused.value.headers
