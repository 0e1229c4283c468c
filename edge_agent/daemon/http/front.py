"""The Open Inference Protocol, version 2: each question answered, by a worker or from the status.

Decides nothing about what runs: that is the desired state's business. Runs no model.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from edge_agent.daemon.http.agent_view import AgentView
from edge_agent.daemon.http.doors import Answer, Doors
from edge_agent.daemon.http.request import BINARY, Refused, Request, Response, as_error, as_json
from edge_agent.daemon.http.routes import Route, route_of
from edge_agent.daemon.http.slot_doors import (
    LOOK_AGAIN_S,
    SlotDoors,
    has_worker,
    is_asked,
    unavailable,
)
from edge_agent.daemon.http.tally import Tally
from edge_agent.runtime.door_wire import DoorAsk, DoorHello, DoorTensor

LENGTH_HEADER: Final = "inference-header-content-length"
PLATFORM: Final = "onnx_onnxv1"
PATIENCE_S: Final = 10.0
"""How long a request waits for a worker that hands over to its successor, or is about to listen."""

_STATUS: Final[Mapping[str, int]] = {"invalid": 400, "model": 500, "late": 504}


class ModelMetadata(Struct, frozen=True, kw_only=True):
    """What `GET /v2/models/{m}` answers."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[DoorTensor, ...]
    outputs: tuple[DoorTensor, ...]


class IndexFilter(Struct, frozen=True):
    """What `POST /v2/repository/index` may ask: only what is ready."""

    ready: bool = False


_decode_filter: Final = msgspec.json.Decoder(IndexFilter).decode


class IndexEntry(Struct, frozen=True, kw_only=True):
    """A line of what `POST /v2/repository/index` answers."""

    name: str
    version: str
    state: str
    reason: str


class Front:
    """Answers requests.

    Args:
        doors: the ways to the workers.
        agent: what the agent says about itself.
        tally: counts what was answered.
        version: of this program.
    """

    def __init__(self, doors: Doors, agent: AgentView, tally: Tally, *, version: str) -> None:
        self._slots = SlotDoors(doors, agent)
        self._agent = agent
        self._tally = tally
        self._version = version

    async def answer(self, request: Request) -> Response:
        """Answer one request; whatever is wrong with it is an answer, too."""
        started = time.perf_counter()
        route: Route | None = None
        try:
            route = route_of(request.method, request.path)
            response = await self._answer(route, request)
        except Refused as refusal:
            response = as_error(refusal)
        asks = route.asks if route is not None else "unknown"
        self._tally.count(asks, response.status, time.perf_counter() - started)
        return response

    async def _answer(self, route: Route, request: Request) -> Response:
        match route.asks:
            case "infer":
                return await self._infer(route, request)
            case "live":
                return as_json({"live": True})
            case "ready":
                return await self._ready()
            case "server":
                return as_json(
                    {
                        "name": "shoal",
                        "version": self._version,
                        "extensions": ["binary_tensor_data"],
                    }
                )
            case "metadata":
                return await self._metadata(route, request)
            case "model_ready":
                _, hello = await self._slots.open(route.model, time.monotonic())
                _check_version(route, hello)
                return as_json({"name": route.model, "ready": True})
            case "index":
                return await self._index(request)
            case "load" | "unload":
                raise Refused(
                    403,
                    f"{route.asks} is not done over HTTP: what runs on a device is decided by its "
                    "desired state",
                    hint="use 'shoal deploy' and 'shoal remove'",
                    code="not_ours_to_decide",
                )
            case "metrics":
                # Imported when it is first asked for: it weighs more than all the rest.
                from edge_agent.daemon.http.metrics import exposition

                status = await self._agent.status()
                body, content_type = exposition(
                    status, self._tally, request.headers.get("accept", "")
                )
                return Response(body=body, content_type=content_type)

    async def _infer(self, route: Route, request: Request) -> Response:
        json_bytes = _json_bytes(request)
        ask = DoorAsk(name=route.model, json_bytes=json_bytes, expires_s=request.expires_s)
        patience = min(request.expires_s, time.monotonic() + PATIENCE_S)
        while True:
            door, hello = await self._slots.open(route.model, patience)
            _check_version(route, hello)
            if len(request.body) > hello.max_bytes:
                raise Refused(
                    413,
                    f"{route.model!r} expected at most {hello.max_bytes} bytes, "
                    f"found {len(request.body)}",
                    hint="send fewer rows at once, or raise input.max_bytes in module.toml",
                    code="too_large",
                )
            reply, body = await door.ask(ask, request.body)
            if reply.outcome == "leaving":
                if time.monotonic() >= patience:
                    raise unavailable(route.model, "its worker ends")
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            return _inferred((reply, body))

    async def _metadata(self, route: Route, request: Request) -> Response:
        patience = min(request.expires_s, time.monotonic() + PATIENCE_S)
        _, hello = await self._slots.open(route.model, patience)
        _check_version(route, hello)
        return as_json(
            ModelMetadata(
                name=route.model,
                versions=(str(hello.version),),
                platform=PLATFORM,
                inputs=hello.inputs,
                outputs=hello.outputs,
            )
        )

    async def _ready(self) -> Response:
        status = await self._agent.status()
        missing = [
            name for name, slot in status.slots.items() if is_asked(slot) and not has_worker(slot)
        ]
        if not missing:
            return as_json({"ready": True})
        text = f"not ready: {', '.join(missing)}"
        return as_json({"ready": False, "error": text}, 503)

    async def _index(self, request: Request) -> Response:
        wants_ready = _index_filter(request.body)
        status = await self._agent.status()
        entries = [
            IndexEntry(
                name=name,
                version=str(slot.state.running_version or ""),
                state="READY" if has_worker(slot) else "UNAVAILABLE",
                reason=slot.state.error.text if slot.state.error else "",
            )
            for name, slot in status.slots.items()
            if is_asked(slot) and (has_worker(slot) or not wants_ready)
        ]
        return as_json(entries)


def _index_filter(body: bytes) -> bool:
    if not body.strip():
        return False
    try:
        return _decode_filter(body).ready
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(
            400, f'expected {{}} or {{"ready": true}}: {error}', code="not_json"
        ) from error


def _check_version(route: Route, hello: DoorHello) -> None:
    if route.version not in ("", str(hello.version)):
        raise Refused(
            404,
            f"{route.model!r} runs version {hello.version}, asked was {route.version!r:.40}",
            hint="leave the version out for the one that runs",
            code="version_not_found",
        )


def _json_bytes(request: Request) -> int | None:
    """What the client says about where the JSON ends; its content type says nothing."""
    text = request.headers.get(LENGTH_HEADER, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > len(request.body):
        raise Refused(
            400,
            f"Inference-Header-Content-Length expected a number from 0 to the body's length, "
            f"{len(request.body)}; found {text!r:.40}",
            code="bad_header",
        )
    return int(text)


def _inferred(answer: Answer) -> Response:
    reply, body = answer
    if reply.outcome != "ok":
        _refuse(answer)
    if reply.json_bytes is None:
        return Response(body=body)
    return Response(
        body=body,
        content_type=BINARY,
        headers=(("inference-header-content-length", str(reply.json_bytes)),),
    )


def _refuse(answer: Answer) -> NoReturn:
    reply, _ = answer
    status = 413 if reply.code == "too_large" else _STATUS.get(reply.outcome, 500)
    raise Refused(status, reply.text, code=reply.code)
