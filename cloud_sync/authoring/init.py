"""Init: a new module's folder, ready to be built where there is a model, ready to edit where not.

Writes only into the folder it is given, and never over a file that is there.
"""

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from cloud_sync.authoring.build import assemble
from cloud_sync.authoring.draft import Draft, draft_binding
from cloud_sync.authoring.facts import OnnxFacts
from cloud_sync.authoring.golden_samples import GoldenSamples, write_golden
from cloud_sync.authoring.inspection import inspect_model
from cloud_sync.authoring.module_text import module_text
from cloud_sync.authoring.observed import Observed, read_observed
from cloud_sync.authoring.rehearsal import loaded_outputs
from cloud_sync.authoring.samples import GOLDEN_FILE
from cloud_sync.authoring.source import SOURCE_FILE
from cloud_sync.authoring.trained import MODEL_FILE
from cloud_sync.errors import Conflict, ModelError, ModuleError
from edge_agent.contract.manifest import Input
from edge_agent.contract.names import check_name

_README_FILE: Final = "README.md"
_MESSAGE: Final = Input(topic="")  # with the default paths of id and time
_NAMES_SHOWN: Final = 30


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
        ModelError: onnxruntime cannot load the model; nothing was written.
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
    draft = draft_binding(facts, _field_names(facts, observed))
    if observed is not None:
        _refuse_other_columns(draft, observed)
    tell("loading the model")
    loaded_outputs(model_file)  # before anything is written: what cannot load is no module
    notes = ["Made from an ONNX file by shoal module init: rename, describe, and set bounds."]
    texts = {
        SOURCE_FILE: module_text(name, draft, notes=notes),
        _README_FILE: _readme(name),
    }
    made = _write(folder, texts, model_file, 0, ())
    tell("running the model on sample messages")
    try:
        golden = write_golden(folder, assemble(folder), observed)
    except ModelError as error:
        golden = GoldenSamples(
            file=folder / GOLDEN_FILE,
            cases=0,
            warnings=(f"no golden cases were made: {error.text}",),
        )
    except BaseException:
        _remove(folder, made.files)
        raise
    return Initialised(
        folder=folder,
        files=(*made.files, GOLDEN_FILE) if golden.cases else made.files,
        golden_cases=golden.cases,
        warnings=(
            *golden.warnings,
            *(f"output {o!r} is left out: {why}" for o, why in draft.left_out.items()),
            *(
                f"input {tensor.name!r} is a state, fed from output {tensor.output!r}: that is "
                "guessed from their names and shapes"
                for tensor in draft.tensors
                if tensor.source == "state"
            ),
        ),
    )


def _field_names(facts: OnnxFacts, observed: Observed | None) -> tuple[str, ...]:
    """The sample's names; without the message's own id and time where they are too many."""
    if observed is None:
        return ()
    names = observed.names
    width = next(t.fields for t in draft_binding(facts).tensors if t.source != "state")
    if len(names) > len(width):
        envelope = (_MESSAGE.id, _MESSAGE.time)
        names = tuple(name for name in names if name not in envelope)
    return names


def _refuse_other_columns(draft: Draft, observed: Observed) -> None:
    """Refuse a sample whose names could not become the fields, instead of dropping them."""
    needed = [item.path or item.name for tensor in draft.tensors for item in tensor.fields]
    if not observed.names or set(needed) <= set(observed.names):
        return
    found = f"found {len(observed.names)} names: {_listed(observed.names)}"
    filled = [tensor for tensor in draft.tensors if tensor.source != "state"]
    if len(filled) == 1:
        raise ModuleError(
            f"sample {observed.file}: input {filled[0].name!r} of the model takes "
            f"{len(needed)} values, {found}",
            hint="leave out what the model does not take, as an index or the target",
            code="sample_misfit",
        )
    raise ModuleError(
        f"sample {observed.file}: the model needs {_listed(needed)}; {found}",
        hint="name the sample's values as the model's inputs",
        code="sample_misfit",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _remove(folder: Path, files: Sequence[str]) -> None:
    """Take back what was written; a folder that is empty then goes, too."""
    for file in files:
        (folder / file).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


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
        raise ModuleError(
            f"{folder} cannot be written: {error}", hint="name a folder that can be written to"
        ) from error
    return Initialised(
        folder=folder,
        files=tuple(files),
        golden_cases=golden_cases,
        warnings=tuple(warnings),
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
