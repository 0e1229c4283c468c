"""Inspection: what is in an ONNX file, found out without risk to this process.

A throw-away child reads the file (`onnx_file`), because the libraries that do can be crashed by
it; this side bounds the child's time and judges what came back. Never loads the model itself.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from cloud_sync.authoring.facts import OnnxFacts
from cloud_sync.authoring.rehearsal import ending
from cloud_sync.errors import ModuleError, Unsupported
from edge_agent.contract.limits import (
    MAX_IR,
    MAX_MODEL_BYTES,
    MAX_OPSETS,
    domain_title,
    limit_problems,
)

TIMEOUT_S: Final = 120.0
_EXIT_NOT_ONNX: Final = 3  # onnx_file.EXIT_NOT_ONNX; importing it would import onnx
_decoder: Final = msgspec.json.Decoder(OnnxFacts)


def inspect_model(path: Path, *, timeout_s: float = TIMEOUT_S) -> OnnxFacts:
    """Read the facts of an ONNX file and refuse what no device could run.

    Args:
        path: the file.
        timeout_s: longest time that the child may take, seconds.

    Raises:
        ModuleError: no such file, empty, too large, not ONNX, damaged, with external data, or
            the child that read it crashed or hung.
        Unsupported: its opset, IR version or an operator's domain is not run by this version.
    """
    _check_file(path)
    facts = _read_in_child(path, timeout_s)
    _check_external(path, facts)
    _check_limits(path, facts)
    return facts


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        is_file = path.is_file()
    except FileNotFoundError as error:
        raise ModuleError(
            f"model file {path} is missing",
            code="model_missing",
            hint="name the file that the export wrote",
        ) from error
    except OSError as error:
        raise ModuleError(
            f"model file {path} cannot be read: {error.strerror}",
            hint="check the permissions of the file",
        ) from error
    if not is_file:
        raise ModuleError(
            f"model file expected at {path}, found a folder",
            code="model_missing",
            hint="name the .onnx file in it",
        )
    if size == 0:
        raise ModuleError(
            f"{path} is empty, expected an ONNX model",
            code="not_onnx",
            hint="export the model again",
        )
    if size > MAX_MODEL_BYTES:
        raise ModuleError(
            f"{path} expected at most {MAX_MODEL_BYTES} bytes, found {size}",
            code="not_onnx",
            hint="make it smaller, by quantization for one",
        )


def _read_in_child(path: Path, timeout_s: float) -> OnnxFacts:
    command = [sys.executable, "-m", "cloud_sync.authoring.onnx_file", str(path.resolve())]
    try:
        child = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as slow:
        facts = _last_facts(slow.stdout or b"")
        if facts is not None:
            return facts
        raise ModuleError(
            f"{path} could not be read within {timeout_s:g} s",
            code="not_onnx",
            hint="try again when the machine is idle; if it stays, export the model again",
        ) from slow
    facts = _last_facts(child.stdout)
    if facts is not None:
        return facts
    complaint = child.stderr.decode("utf-8", "replace").strip()
    if child.returncode == _EXIT_NOT_ONNX:
        raise ModuleError(
            f"{path} is not an ONNX model: {complaint}",
            hint="export the model as a single ONNX file",
            code="not_onnx",
        )
    if "No module named 'onnx'" in complaint:
        raise Unsupported(
            "building modules needs the package onnx, which is not installed",
            hint="pip install 'shoal[cloud]'",
        )
    raise ModuleError(
        f"{path} cannot be read: the reading process {ending(child.returncode)}"
        + (f": {complaint.splitlines()[-1]}" if complaint else ""),
        hint="the file is damaged, or made to break its readers",
        code="not_onnx",
    )


def _last_facts(output: bytes) -> OnnxFacts | None:
    """The last complete line: the child may have died while it refined the one before."""
    for line in reversed(output.split(b"\n")[:-1]):
        try:
            return _decoder.decode(line)
        except msgspec.DecodeError:  # something else that a library printed
            continue
    return None


def _check_external(path: Path, facts: OnnxFacts) -> None:
    if facts.external:
        shown = ", ".join(map(repr, facts.external[:5]))
        more = f" and {len(facts.external) - 5} more" if len(facts.external) > 5 else ""
        raise ModuleError(
            f"{path} keeps tensor data in other files ({shown}{more}), "
            "expected one file with everything in it",
            hint="save it as one file: onnx.save_model(onnx.load(PATH), NEW_PATH)",
            code="external_data",
        )


def _check_limits(path: Path, facts: OnnxFacts) -> None:
    problems = list(limit_problems(facts.ir_version, facts.opsets))
    if not problems:
        return
    for domain, operators in facts.foreign.items():
        problems.append(f"domain {domain!r} is used by {', '.join(operators)}")
    newest = ", ".join(f"{domain_title(d)} {v}" for d, v in MAX_OPSETS.items())
    raise Unsupported(
        f"{path}: {'; '.join(problems)}",
        hint=(
            f"this version runs opsets up to {newest} and IR up to {MAX_IR}: export again with an "
            "older target (skl2onnx: target_opset=..., torch: opset_version=..., "
            "onnx: make_model(..., ir_version=..., opset_imports=...))"
            if not facts.foreign
            else "devices load no custom operators: export with operators of the listed domains"
        ),
    )
