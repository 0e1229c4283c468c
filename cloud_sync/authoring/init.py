"""Init: a new module's folder, ready to be built where there is a model, ready to edit where not.

Writes only into the folder it is given, and never over a file that is there.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cloud_sync.authoring.draft import Draft, draft_binding
from cloud_sync.authoring.facts import OnnxFacts
from cloud_sync.authoring.inspection import inspect_model
from cloud_sync.authoring.module_text import module_text
from cloud_sync.authoring.observed import Observed, read_observed
from cloud_sync.authoring.rehearsal import Reply, loaded_outputs, rehearse
from cloud_sync.authoring.samples import Json, free_sizes, sample_messages
from cloud_sync.authoring.source import SOURCE_FILE
from cloud_sync.authoring.trained import MODEL_FILE
from cloud_sync.errors import Conflict, ModelError, ModuleError
from edge_agent.contract.limits import MAX_GOLDEN_BYTES
from edge_agent.contract.manifest import Blob, Input, Manifest, Model, Output
from edge_agent.contract.names import check_name, digest_of

GOLDEN_FILE: Final = "golden/samples.json"
_README_FILE: Final = "README.md"


class Initialised(Struct, frozen=True, kw_only=True):
    """A new module's folder.

    Attributes:
        folder: where it is.
        files: what was written, relative to the folder.
        golden_cases: how many were made by running the model.
        warnings: what a person should know, one sentence each.
    """

    folder: Path
    files: tuple[str, ...]
    golden_cases: int
    warnings: tuple[str, ...]


def init_module(
    folder: Path,
    name: str,
    *,
    model_file: Path | None = None,
    sample: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Initialised:
    """Make a module's folder.

    With a model, module.toml fits its signature, and golden cases hold its own answers to the
    sample messages; the folder builds as it is. Without one, module.toml is a scaffold.

    Args:
        folder: made if it is missing; must not hold a module.toml yet.
        name: of the module: a-z, 0-9 and '-', 63 characters at most.
        model_file: an ONNX file; it is copied into the folder.
        sample: messages that the model will get: a JSON file with one message or a list of them,
            or a CSV file with a header. Its names become the names of the fields.
        progress: told about each step.

    Raises:
        Conflict: the folder holds a module already.
        ContractError: a bad name.
        ModuleError: the model or the sample is missing or malformed.
        Unsupported: no binding can be made for the model; the text says why.
    """
    tell = progress or (lambda _step: None)
    check_name("module", name)
    for file in (SOURCE_FILE, MODEL_FILE, GOLDEN_FILE):
        target = folder / file
        is_same = model_file is not None and target.exists() and target.samefile(model_file)
        if target.exists() and not is_same:
            raise Conflict(
                f"{target} is already there", hint="name a new folder", code="module_exists"
            )
    if model_file is None:
        texts = {SOURCE_FILE: module_text(name, None), _README_FILE: _readme(name)}
        return _write(folder, texts, None, 0, [f"put the model into {folder / MODEL_FILE}"])
    tell("inspecting the model")
    facts = inspect_model(model_file)
    observed = read_observed(sample) if sample is not None else None
    draft = draft_binding(facts, observed.names if observed else ())
    tell("running the model on sample messages")
    cases, warnings = _golden_cases(name, facts, draft, model_file, observed)
    warnings += [f"output {o!r} is left out: {why}" for o, why in draft.left_out.items()]
    notes = ["Made from an ONNX file by shoal module init: rename, describe, and set bounds."]
    texts = {
        SOURCE_FILE: module_text(name, draft, notes=notes),
        _README_FILE: _readme(name),
    }
    if cases:
        # A case a line: indented, a large payload would be twice as long.
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
        texts[GOLDEN_FILE] = f"[\n{lines}\n]\n"
    return _write(folder, texts, model_file, len(cases), warnings)


def _write(
    folder: Path,
    texts: dict[str, str],
    model_file: Path | None,
    golden_cases: int,
    warnings: Sequence[str],
) -> Initialised:
    files = []
    try:
        for path, text in texts.items():
            target = folder / path
            if target.exists():  # a README of the folder's own
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            files.append(path)
        model = folder / MODEL_FILE
        if model_file is not None and not model.exists():
            shutil.copyfile(model_file, model)
            files.append(MODEL_FILE)
    except OSError as error:
        raise ModuleError(f"{folder} cannot be written: {error}") from error
    return Initialised(
        folder=folder,
        files=tuple(files),
        golden_cases=golden_cases,
        warnings=tuple(warnings),
    )


def _golden_cases(
    name: str, facts: OnnxFacts, draft: Draft, model_file: Path, observed: Observed | None
) -> tuple[list[dict[str, Json]], list[str]]:
    """Messages with the model's own answers, and why there are none if there are none."""
    manifest = _sketch(name, facts, draft, model_file)
    reasons: list[str] = []
    attempts = (
        [observed.messages]
        if observed is not None
        else [sample_messages(draft.inputs, draft.tensors, s) for s in free_sizes(draft.inputs)]
    )
    for messages in attempts:
        if not messages:
            reasons.append("the samples would be too large")
            continue
        payloads = [msgspec.json.encode(message) for message in messages]
        try:
            # Twice each: a model that draws random numbers has no golden answers.
            replies = rehearse(manifest, model_file, messages=payloads + payloads).replies
        except ModelError as error:
            return [], [f"no golden cases were made: {error.text}"]
        cases, reason = _steady_cases(messages, replies)
        if cases:
            return cases, []
        reasons.append(reason)
    source = "the sample" if observed is not None else "made-up messages"
    return [], [f"no golden cases were made from {source}: {reasons[0]}"]


def _steady_cases(
    messages: Sequence[Json], replies: Sequence[Reply]
) -> tuple[list[dict[str, Json]], str]:
    cases: list[dict[str, Json]] = []
    reason = ""
    count = len(messages)
    size = 0
    for number, message in enumerate(messages):
        first, second = replies[number], replies[number + count]
        if not first.outputs:
            reason = first.fault
            continue
        if second.outputs != first.outputs:
            reason = "it answers the same message differently each time"
            continue
        size += len(first.outputs)
        if size > MAX_GOLDEN_BYTES // 4:
            reason = "its answers are too large for golden cases"
            break
        cases.append(
            {
                "name": f"sample {number + 1}",
                "payload": message,
                "outputs": msgspec.json.decode(first.outputs),
            }
        )
    return cases, reason


def _sketch(name: str, facts: OnnxFacts, draft: Draft, model_file: Path) -> Manifest:
    """The manifest that the new folder will give, as far as running the model needs it."""
    data = model_file.read_bytes()
    ports = {port.name: port for port in facts.outputs}
    specs = {output: ports[output].spec() for output in draft.outputs}
    if None in specs.values():
        specs.update({spec.name: spec for spec in loaded_outputs(model_file)})
    return Manifest(
        name=name,
        model=Model(
            blob=Blob(path=MODEL_FILE, digest=digest_of(data), size=len(data)),
            ir_version=facts.ir_version,
            opsets=facts.opsets,
            inputs=draft.inputs,
            outputs=tuple(spec for output in draft.outputs if (spec := specs[output])),
        ),
        input=Input(topic=f"sensors/+/{name}", max_bytes=draft.max_bytes),
        tensors=draft.tensors,
        output=Output(topic=f"results/{{1}}/{name}"),
    )


def _readme(name: str) -> str:
    return f"""\
# {name}

What it decides, from what, and for whom.

- **Data**: what the model was trained on, where it comes from, its licence.
- **Score**: measured on which rows that the model was not fitted on, with which command.
- **Limits**: where it must not be used.

Build and check it: `shoal module check .`
"""
