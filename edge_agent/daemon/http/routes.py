"""Which question a method and a path are. Pure.

The paths are those of the Open Inference Protocol, version 2, with or without a slash at the end
and with or without a version, and `/metrics`.
"""

from typing import Final, Literal
from urllib.parse import unquote

from msgspec import Struct

from edge_agent.daemon.http.request import Refused

Asks = Literal[
    "server", "live", "ready", "metadata", "model_ready", "infer", "index", "load", "unload",
    "metrics",
]  # fmt: skip


class Route(Struct, frozen=True):
    """A question.

    Attributes:
        model: that it is about, by its slot's name or its module's; empty if it is about none.
        version: that is asked for; empty for any.
    """

    asks: Asks
    model: str = ""
    version: str = ""


_READS: Final = ("GET", "HEAD")
_WRITES: Final = ("POST",)
_LEARN_MORE: Final = "see docs/guides/http.md for what may be asked"


def route_of(method: str, path: str) -> Route:
    """What is asked.

    Args:
        method: in capitals.
        path: without the query, percent-encoded.

    Raises:
        Refused: 404, there is no such path; 405, it does not take this method.
    """
    parts = [unquote(part) for part in path.split("/")]
    if parts[-1] == "":
        parts.pop()
    found = _find(parts[1:]) if parts[:1] == [""] else None
    if found is None:
        raise Refused(404, f"nothing is at {path!r:.200}", hint=_LEARN_MORE, code="no_such_path")
    route, methods = found
    if method not in methods:
        raise Refused(
            405,
            f"{path!r:.200} expected {' or '.join(methods)}, found {method:.20}",
            code="wrong_method",
            headers=(("allow", ", ".join(methods)),),
        )
    return route


def _find(parts: list[str]) -> tuple[Route, tuple[str, ...]] | None:
    match parts:
        case ["v2"]:
            return Route("server"), _READS
        case ["v2", "health", "live"]:
            return Route("live"), _READS
        case ["v2", "health", "ready"]:
            return Route("ready"), _READS
        case ["v2", "models", model, *rest] if model:
            return _find_of_model(model, rest)
        case ["v2", "repository", "index"]:
            return Route("index"), _WRITES
        case ["v2", "repository", "models", model, "load"] if model:
            return Route("load", model), _WRITES
        case ["v2", "repository", "models", model, "unload"] if model:
            return Route("unload", model), _WRITES
        case ["metrics"]:
            return Route("metrics"), _READS
        case _:
            return None


def _find_of_model(model: str, rest: list[str]) -> tuple[Route, tuple[str, ...]] | None:
    version = ""
    match rest:
        case ["versions", given, *behind] if given:
            version, rest = given, behind
    match rest:
        case []:
            return Route("metadata", model, version), _READS
        case ["ready"]:
            return Route("model_ready", model, version), _READS
        case ["infer"]:
            return Route("infer", model, version), _WRITES
        case _:
            return None
