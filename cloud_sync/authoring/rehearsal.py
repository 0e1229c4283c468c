"""Rehearsal: a module, or only its model, run once on this machine in a throw-away process.

A model can crash onnxruntime, and with it whatever process it runs in; that process is a child
here. The child answers through the same engine as a device's worker. This side never imports
onnxruntime.
"""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cloud_sync.errors import ModelError, ModuleError, Unsupported
from edge_agent.contract.manifest import Manifest, canonical
from edge_agent.contract.scores import Profile
from edge_agent.contract.signature import TensorSpec

TIMEOUT_S: Final = 300.0


class RehearsalRequest(Struct, frozen=True, kw_only=True):
    """What the child is asked, as JSON on its standard input.

    Attributes:
        model_file: the ONNX file.
        manifest: canonical bytes as text; empty to load the model and nothing else.
        golden: path in the manifest to the golden file on this machine.
        messages: samples to answer, each the payloads that fill a window, or one.
        stream: messages that came one behind the other, to make a profile of their scores.
    """

    model_file: str
    manifest: str = ""
    golden: dict[str, str] = {}
    messages: tuple[tuple[bytes, ...], ...] = ()
    stream: tuple[bytes, ...] = ()


class Reply(Struct, frozen=True, kw_only=True):
    """One answer to a message: the outputs as JSON text, or why there are none."""

    outputs: str = ""
    fault: str = ""


class RehearsalFault(Struct, frozen=True, kw_only=True):
    """Why a rehearsal did not succeed; `kind` is "unsupported", "model" or "module"."""

    kind: str
    code: str
    text: str
    hint: str = ""


class Rehearsal(Struct, frozen=True, kw_only=True):
    """What a rehearsal showed.

    Attributes:
        outputs: of the model, as onnxruntime describes them; tensors only.
        load_ms: reading, verifying and loading, milliseconds.
        cases: golden cases that passed.
        p99_ms: 99th percentile of one answer, payload to result, over the golden cases.
        max_difference: largest difference of a number from what a golden case expects.
        peak_rss_mb: of the whole process, imports included, 2**20 bytes.
        replies: one for each message of the request.
        profile: of the scores of the stream; None if there was none.
        refusals: how many of its messages got no answer and why, one sentence; empty for none.
        fault: set if it did not succeed.
    """

    outputs: tuple[TensorSpec, ...] = ()
    load_ms: float = 0.0
    cases: int = 0
    p99_ms: float = 0.0
    max_difference: float = 0.0
    peak_rss_mb: float = 0.0
    replies: tuple[Reply, ...] = ()
    profile: Profile | None = None
    refusals: str = ""
    fault: RehearsalFault | None = None


_decoder: Final = msgspec.json.Decoder(Rehearsal)


def rehearse(
    manifest: Manifest,
    model_file: Path,
    *,
    golden: Mapping[str, Path] | None = None,
    messages: Sequence[tuple[bytes, ...]] = (),
    stream: Sequence[bytes] = (),
    timeout_s: float = TIMEOUT_S,
) -> Rehearsal:
    """Load a module in a child, check its golden cases, and answer messages.

    Args:
        manifest: of the module.
        model_file: the ONNX file, with the digest that the manifest says.
        golden: path in the manifest to file.
        messages: samples to answer, each the payloads that fill a window, or one.
        stream: messages that came one behind the other, to make a profile of their scores.
        timeout_s: longest time that the child may take, seconds.

    Raises:
        ModelError: the model does not load, crashes, hangs, or fails a golden case.
        ModuleError: a golden file is malformed, or the stream makes no profile.
        Unsupported: the model cannot run on this version.
    """
    request = RehearsalRequest(
        model_file=str(model_file.resolve()),
        manifest=canonical(manifest).decode("utf-8"),
        golden={path: str(file.resolve()) for path, file in (golden or {}).items()},
        messages=tuple(messages),
        stream=tuple(stream),
    )
    return _run_child(request, timeout_s)


def loaded_outputs(model_file: Path, *, timeout_s: float = TIMEOUT_S) -> tuple[TensorSpec, ...]:
    """The outputs of a model as onnxruntime sees them, which may know more than the file says.

    Raises:
        ModelError, Unsupported: as `rehearse`.
    """
    return _run_child(RehearsalRequest(model_file=str(model_file.resolve())), timeout_s).outputs


def _run_child(request: RehearsalRequest, timeout_s: float) -> Rehearsal:
    try:
        child = subprocess.run(
            [sys.executable, "-m", "cloud_sync.authoring.rehearsal_child"],
            input=msgspec.json.encode(request),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as slow:
        raise ModelError(
            f"the model did not answer within {timeout_s:g} s",
            code="model_hangs",
            hint="use a smaller model, or look for a loop in it that does not end",
        ) from slow
    lines = child.stdout.rsplit(b"\n", 2)
    try:
        rehearsal = _decoder.decode(lines[-2] if len(lines) > 1 else b"")
    except msgspec.DecodeError as error:
        said = child.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ModelError(
            f"the process that ran the model {ending(child.returncode)}"
            + (f": {said[-1]}" if said else ""),
            hint="the model crashes onnxruntime on this machine; export it again",
            code="model_crashed",
        ) from error
    fault = rehearsal.fault
    if fault is not None:
        kinds = {"unsupported": Unsupported, "module": ModuleError}
        raise kinds.get(fault.kind, ModelError)(fault.text, hint=fault.hint, code=fault.code)
    return rehearsal


def ending(returncode: int) -> str:
    """How a child ended, in words."""
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with code {returncode}"
