"""The child's half of `rehearsal`: loads a module, checks it, answers, and exits.

Run as `python -m cloud_sync.authoring.rehearsal_child`; never imported by a process that must
live. Reads one request from standard input and prints one JSON line.
"""

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from cloud_sync.authoring.rehearsal import (
    Rehearsal,
    RehearsalFault,
    RehearsalRequest,
    Reply,
)
from cloud_sync.authoring.score_bins import LEAST_ROWS, profile_of
from cloud_sync.errors import ModuleError
from edge_agent.contract.names import digest_of
from edge_agent.contract.scores import MOST_COLUMNS, Profile, score_output
from edge_agent.errors import ContractError, ShoalError, Unsupported
from edge_agent.runtime.codecs.codec import type_of_json
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.golden import GoldenCase, check_golden, parse_golden
from edge_agent.runtime.scores import rows_of
from edge_agent.runtime.session import ModelSession

_MEMORY_BYTES: Final = 8 * 2**30
"""Address space: a file of a few bytes can ask for any amount."""

_DEVICE: Final = "rehearsal"


def rehearse(request: RehearsalRequest) -> Rehearsal:
    """Do what was asked.

    Raises:
        ShoalError: the module, the model or a golden case is at fault.
    """
    started = time.perf_counter()
    model = Path(request.model_file).read_bytes()
    if not request.manifest:
        session = ModelSession(model)
        return Rehearsal(outputs=session.outputs, load_ms=_since_ms(started))
    manifest = request.manifest.encode("utf-8")
    engine = Engine.load(manifest, digest_of(manifest), model, device=_DEVICE, slot=_DEVICE)
    engine.warm_up()
    load_ms = _since_ms(started)
    cases: list[GoldenCase] = []
    for path, file in request.golden.items():
        cases += parse_golden(path, Path(file).read_bytes())
    report = check_golden(engine, cases)
    replies = tuple(_answer(engine, message) for message in request.messages)
    profile, refusals = _profile(engine, request.stream) if request.stream else (None, "")
    return Rehearsal(
        load_ms=load_ms,
        cases=report.cases,
        p99_ms=report.p99_ms,
        max_difference=report.max_difference,
        peak_rss_mb=_peak_rss_mb(),
        replies=replies,
        profile=profile,
        refusals=refusals,
    )


def _answer(engine: Engine, payloads: tuple[bytes, ...]) -> Reply:
    engine.forget()
    answer = None
    content_type = type_of_json(engine.manifest.input.codec)
    for payload in payloads:
        answer = engine.answer(engine.sample_topic(), payload, 0.0, content_type=content_type)
        if answer is not None and not answer.ok:
            break
    if answer is None:
        return Reply(fault="the message does not fill a window")
    if not answer.ok:
        return Reply(fault=f"{answer.code}: {answer.text}")
    return Reply(outputs=answer.outputs.decode("utf-8"))


def _profile(engine: Engine, payloads: Sequence[bytes]) -> tuple[Profile, str]:
    """How the scores of a stream are spread, and what of it was refused, one sentence."""
    engine.forget()
    outputs = engine.manifest.model.outputs
    at = score_output(outputs)
    content_type = type_of_json(engine.manifest.input.codec)
    topic = engine.sample_topic()
    # Any: whatever a tensor may hold.
    rows: list[list[Any]] = []
    refused = 0
    reason = ""
    for payload in payloads:
        answer = engine.answer(topic, payload, 0.0, content_type=content_type)
        if answer is None:  # it waits in a window
            continue
        if not answer.ok or answer.shares is None:
            refused += 1
            reason = f"{answer.code}: {answer.text}"
            continue
        for run in answer.shares.runs:
            rows += rows_of(run.arrays[at], outputs[at])[:, :MOST_COLUMNS].tolist()
    text = f"{refused} of {len(payloads)} messages were refused, the last for {reason}"
    if refused and len(rows) < LEAST_ROWS:
        raise ModuleError(
            f"a profile of scores expected at least {LEAST_ROWS} rows, found {len(rows)}: {text}",
            hint="give more messages that the model can answer",
            code="profile_impossible",
        )
    return profile_of(outputs[at].name, rows), text if refused else ""


def _peak_rss_mb() -> float:
    """Of this program alone: what getrusage says includes the parent's memory before exec."""
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def _fault(error: ShoalError) -> RehearsalFault:
    kind = "model"
    if isinstance(error, Unsupported):
        kind = "unsupported"
    elif isinstance(error, ContractError | ModuleError):
        kind = "module"
    return RehearsalFault(kind=kind, code=error.code, text=error.text, hint=error.hint)


def main() -> int:
    """Answer the one request on standard input."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=RehearsalRequest)
    size = Path(request.model_file).stat().st_size
    limit = _MEMORY_BYTES + 4 * size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        rehearsal = rehearse(request)
    except ShoalError as error:
        rehearsal = Rehearsal(fault=_fault(error))
    except MemoryError:
        text = f"the model needs more than {limit // 2**20} MB of memory"
        rehearsal = Rehearsal(fault=RehearsalFault(kind="model", code="out_of_memory", text=text))
    sys.stdout.buffer.write(msgspec.json.encode(rehearsal) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
