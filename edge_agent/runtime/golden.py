"""Golden cases: sample messages with the answers that a module must give.

They go through the engine like any message. A case is compared as JSON: numbers that the model
computes within the tolerance (absolute plus relative), everything else exactly.
"""

import binascii
import itertools
import math
from base64 import b64decode
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from edge_agent.contract.manifest import Codec
from edge_agent.contract.providers import short_name
from edge_agent.errors import ContractError, ModelError
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.codecs.codec import type_of_json
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.histogram import Histogram

_SAMPLES: Final = 200
"""Fewer have no 99th percentile to speak of, only a longest."""

_MAX_SECONDS: Final = 2.0

# Any: outputs are whatever JSON the model's outputs become.
Json = Any


class GoldenCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case of a golden file.

    Attributes:
        name: for errors; the file and number if empty.
        topic: of the message; one that fits the module's input if empty.
        payload: JSON message; exactly one of the four is given.
        payload_base64: message of any format.
        payloads: JSON messages that fill a window; the last one's answer is compared.
        payloads_base64: the same in any format.
        outputs: output name to the value that is expected; at least one.
    """

    outputs: dict[str, Json]
    name: str = ""
    topic: str = ""
    payload: Raw | UnsetType = UNSET
    payload_base64: str | UnsetType = UNSET
    payloads: list[Raw] | UnsetType = UNSET
    payloads_base64: list[str] | UnsetType = UNSET

    def messages(self) -> list[bytes]:
        """The payloads, in order.

        Raises:
            ContractError: none or several of the four are given, or it is not base64.
        """
        given: list[list[bytes]] = []
        if not isinstance(self.payload, UnsetType):
            given.append([bytes(self.payload)])
        if not isinstance(self.payload_base64, UnsetType):
            given.append(_decoded([self.payload_base64]))
        if not isinstance(self.payloads, UnsetType):
            given.append([bytes(raw) for raw in self.payloads])
        if not isinstance(self.payloads_base64, UnsetType):
            given.append(_decoded(self.payloads_base64))
        if len(given) != 1 or not given[0]:
            raise ContractError(
                "expected exactly one of payload, payload_base64, payloads and payloads_base64, "
                f"found {len(given)}",
                code="golden_invalid",
                hint="keep one of them",
            )
        return given[0]

    def content_type(self, codec: Codec) -> str:
        """Of the payloads, for a module of some codec; empty if they are in the module's own."""
        is_json = self.payload is not UNSET or self.payloads is not UNSET
        return type_of_json(codec) if is_json else ""


class GoldenReport(Struct, frozen=True, kw_only=True):
    """What the golden cases showed.

    Attributes:
        cases: how many passed.
        p99_ms: 99th percentile of one answer, payload to result, milliseconds; 0 without cases.
        max_difference: largest difference of a number from what was expected.
    """

    cases: int
    p99_ms: float
    max_difference: float


def parse_golden(path: str, data: bytes) -> list[GoldenCase]:
    """Read a golden file: one case, or a list of cases. Each gets a name if it has none.

    Args:
        path: for errors and names.
        data: the file's bytes.

    Raises:
        ContractError: `golden_invalid`, with the file, the case and what is wrong in it.
    """
    try:
        read: GoldenCase | list[GoldenCase]
        if data.lstrip()[:1] == b"[":
            read = msgspec.json.decode(data, type=list[GoldenCase])
        else:
            read = msgspec.json.decode(data, type=GoldenCase)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ContractError(
            f"golden file {path}: {error}",
            code="golden_invalid",
            hint="write it as `shoal module golden` does, or let that write it",
        ) from error
    cases = read if isinstance(read, list) else [read]
    if not cases:
        raise ContractError(
            f"golden file {path} holds no case",
            code="golden_invalid",
            hint="write a case into it, or let `shoal module golden` do it",
        )
    named = []
    for index, case in enumerate(cases):
        place = path if not isinstance(read, list) else f"{path}[{index}]"
        name = f"{place} {case.name!r}" if case.name else place
        try:
            case.messages()
        except ContractError as error:
            raise ContractError(f"golden case {name}: {error.text}", code=error.code) from error
        if not case.outputs:
            raise ContractError(
                f"golden case {name} expects no output",
                code="golden_invalid",
                hint="name at least one output and its value",
            )
        named.append(msgspec.structs.replace(case, name=name))
    return named


def check_golden(engine: Engine, cases: Sequence[GoldenCase]) -> GoldenReport:
    """Run all cases and compare; then repeat them until there is a percentile to speak of.

    Bounded: the repetitions end after 2 seconds. The engine's windows are emptied.

    Raises:
        ModelError: `golden_failed` with case, output, expected and found, or `golden_refused` if
            the module answers a case with an error.
    """
    tolerance = engine.manifest.health.tolerance
    largest = 0.0
    for case in cases:
        largest = max(largest, _check_case(engine, case, tolerance))
    times = Histogram()
    deadline = perf_counter() + _MAX_SECONDS
    for case in itertools.islice(itertools.cycle(cases), _SAMPLES):
        times.record(_run(engine, case).total_us)
        if perf_counter() > deadline:
            break
    engine.forget()
    return GoldenReport(cases=len(cases), p99_ms=times.timing().p99_ms, max_difference=largest)


def refuse_slow(report: GoldenReport, max_p99_ms: float) -> None:
    """Check the module's own bound on its latency; 0 is no bound.

    Raises:
        ModelError: `too_slow`.
    """
    if max_p99_ms and report.p99_ms > max_p99_ms:
        raise ModelError(
            f"99 % of answers expected within {max_p99_ms} ms, found {report.p99_ms:.3f} ms",
            code="too_slow",
            hint="raise health.max_p99_ms, or use a smaller model on this machine",
        )


def _decoded(texts: Sequence[str]) -> list[bytes]:
    try:
        return [b64decode(text, validate=True) for text in texts]
    except (binascii.Error, ValueError) as error:
        raise ContractError(
            f"payload_base64: {error}",
            code="golden_invalid",
            hint="encode the message's bytes as base64",
        ) from error


def _run(engine: Engine, case: GoldenCase) -> Answer:
    """The answer to a case's last message."""
    engine.forget()
    topic = engine.topic_prefix + case.topic if case.topic else engine.sample_topic()
    answer: Answer | None = None
    content_type = case.content_type(engine.manifest.input.codec)
    for payload in case.messages():
        answer = engine.answer(topic, payload, 0.0, content_type=content_type)
        if answer is not None and not answer.ok:
            break
    if answer is None:
        raise ModelError(
            f"golden case {case.name}: its messages do not fill a window",
            code="golden_refused",
            hint="give it as many messages as input.window.size, or let `shoal module golden` "
            "write it",
        )
    if not answer.ok:
        raise ModelError(
            f"golden case {case.name} was refused: {answer.code}: {answer.text}",
            code="golden_refused",
            hint="correct the case, or the binding in module.toml",
        )
    return answer


def _check_case(engine: Engine, case: GoldenCase, tolerance: float) -> float:
    found: dict[str, Json] = msgspec.json.decode(_run(engine, case).outputs)
    largest = 0.0
    for output, expected in case.outputs.items():
        if output not in found:
            raise ModelError(
                f"golden case {case.name}: output {output!r} is not computed; "
                f"the module computes {', '.join(found)}",
                code="golden_failed",
                hint="correct the case's output, or add it to model.outputs",
            )
        for place, left, right in _pairs(output, expected, found[output]):
            difference = _difference(left, right, tolerance)
            if difference is None:
                raise ModelError(
                    f"golden case {case.name}: {place} expected {_short(left)}, "
                    f"found {_short(right)}, tolerance {tolerance:g}{_where(engine)}",
                    code="golden_failed",
                    hint="look at the model and its binding, write the case anew if its value is "
                    "old, or allow a larger health.tolerance",
                )
            largest = max(largest, difference)
    return largest


def _where(engine: Engine) -> str:
    """On what the model ran, if that may be why its numbers differ."""
    name = short_name(engine.providers[0])
    return "" if name == "cpu" else f", computed on {name}"


def _pairs(place: str, expected: Json, found: Json) -> Iterator[tuple[str, Json, Json]]:
    """Expected and found values side by side; lists of other lengths are one unequal pair."""
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (left, right) in enumerate(zip(expected, found, strict=True)):
            yield from _pairs(f"{place}[{index}]", left, right)
    else:
        yield place, expected, found


def _difference(expected: Json, found: Json, tolerance: float) -> float | None:
    """How far two values are apart, or None if that is too far. Only floats may differ."""
    if type(found) is float and type(expected) in (int, float):
        difference = abs(found - expected)
        is_near = difference <= tolerance * (1 + abs(expected))
        return difference if is_near and math.isfinite(difference) else None
    if type(found) is int and type(expected) is float:
        return 0.0 if found == expected else None
    return 0.0 if type(found) is type(expected) and found == expected else None


def _short(value: Json) -> str:
    text = msgspec.json.encode(value).decode()
    if isinstance(value, list):
        return f"a list of {len(value)}: {text[:80]}"
    return text[:80]
