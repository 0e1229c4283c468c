"""What a `train.py` leaves behind: the model, its golden cases and what was measured.

The three belong together, so they are written together. Never trains anything itself.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from cloud_sync.authoring.measured import Measured, write_measured
from cloud_sync.authoring.source import SOURCE_FILE
from edge_agent.contract.manifest import Parity
from edge_agent.contract.names import digest_of
from edge_agent.contract.scores import Profile

MODEL_FILE: Final = "model.onnx"
GOLDEN_FILE: Final = "golden/held_out.json"

Report = Callable[[str, float | None], None]
"""Told what a training does now, and how far that is (0 to 1, or None if nobody knows)."""


def quiet(step: str, fraction: float | None) -> None:
    """A `Report` for callers that want none."""


def printed(step: str, fraction: float | None) -> None:
    """A `Report` for a person at a terminal: one line a step."""
    done = "" if fraction is None else f" {fraction:.0%}"
    print(f"{step}{done}", flush=True)  # noqa: T201  # train.py is a program for people


class Trained(Struct, frozen=True, kw_only=True):
    """A trained module's folder, ready to be built.

    Attributes:
        folder: holds module.toml, the model, golden cases and measured.json.
        model_digest: of the ONNX file.
        metrics: name to score on held-out rows, as the ONNX model predicts them.
        parity: agreement with the model it was converted from.
    """

    folder: Path
    model_digest: str
    metrics: dict[str, float]
    parity: Parity


def save_trained(
    out: Path,
    source: Path,
    *,
    model: bytes,
    cases: Sequence[Mapping[str, object]],
    metrics: Mapping[str, float],
    parity: Parity,
    profile: Profile | None = None,
) -> Trained:
    """Write a training's results, with the module's own files beside them.

    Args:
        out: folder to write; made if it is missing.
        source: the module's folder. Its module.toml and README.md are copied when it is not `out`.
        model: the ONNX file.
        cases: golden cases: `payload`, `payload_base64` or `payloads`, and `outputs`.
        metrics: name to score.
        parity: as the parity gate found it.
        profile: how the scores are spread on rows that the model was not fitted on.
    """
    (out / GOLDEN_FILE).parent.mkdir(parents=True, exist_ok=True)
    if out.resolve() != source.resolve():
        for name in (SOURCE_FILE, "README.md"):
            shutil.copyfile(source / name, out / name)
    (out / MODEL_FILE).write_bytes(model)
    text = json.dumps(list(cases), indent=1, ensure_ascii=False, allow_nan=False)
    (out / GOLDEN_FILE).write_text(text + "\n", encoding="utf-8")
    digest = digest_of(model)
    measured = Measured(model=digest, metrics=dict(metrics), parity=parity, profile=profile)
    write_measured(out, measured)
    return Trained(folder=out, model_digest=digest, metrics=dict(metrics), parity=parity)
