"""The demo's module: the reference module `shuttle_anomaly`, trained twice.

Calls the module's own `train.py`; knows only what a user of it would.
"""

from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec
from msgspec import Struct
from numpy.typing import NDArray

from cloud_sync.authoring.build import Built, build
from cloud_sync.authoring.convert import predict_onnx
from cloud_sync.authoring.reference import load_training, reference_module
from cloud_sync.demo.screen import Report

REFERENCE: Final = "shuttle_anomaly"
Array = NDArray[Any]  # Any: features are float32, labels int64

RECIPES: Final = {
    1: {"trees": 60, "depth": 6, "seed": 7},
    2: {"trees": 100, "depth": 10, "seed": 7},
    3: {"trees": 1, "depth": 1, "seed": 7},
}
"""How each version is trained; version 2 is the better one, and version 3 a mistake: somebody tried
something out with a single tree of depth 1, and published it."""


class HeldOut(Struct, frozen=True):
    """Rows that no training saw.

    Attributes:
        rows: each an encoded JSON object with the module's fields.
        labels: 1 for an anomaly, 0 else.
    """

    rows: list[bytes]
    labels: list[int]


class TrainedVersion(Struct, frozen=True, kw_only=True):
    """A version of the module, built and proved on its golden cases.

    Attributes:
        labels: what its ONNX model says offline about every held-out row.
        story: one line for people.
    """

    number: int
    built: Built
    model_file: Path
    f1: float
    labels: list[int]
    story: str


class ShuttleModule:
    """Trains and builds versions of the module.

    Args:
        folder: each version gets a folder below it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        source = reference_module(REFERENCE)
        self._training: ModuleType = load_training(source)
        self._held_out: tuple[Array, Array] | None = None
        self.name = ""

    def make(self, number: int, report: Report) -> TrainedVersion:
        """Train, convert, compare, build and check version `number`.

        Raises:
            ModuleError: the conversion or the golden cases do not agree.
        """
        out = self._folder / f"{REFERENCE}-{number}"
        trained = self._training.train(out, report=report, **RECIPES[number])
        report("building, checking golden cases", None)
        built = build(out)
        self.name = built.manifest.name
        model_file = out / built.manifest.model.blob.path
        rows, _ = self._rows()
        labels = [int(label) for label in predict_onnx(model_file.read_bytes(), rows)[0]]
        f1 = trained.metrics["f1"]
        return TrainedVersion(
            number=number,
            built=built,
            model_file=model_file,
            f1=f1,
            labels=labels,
            story=f"F1 {f1:.4f} on {len(labels):,} rows it never saw; ONNX agrees with "
            f"scikit-learn on {trained.parity.label_agreement:.0%}; golden cases passed",
        )

    def held_out(self) -> HeldOut:
        """The rows that the devices will see."""
        rows, labels = self._rows()
        encode = msgspec.json.encode
        return HeldOut(
            [encode(self._training.message(row)) for row in rows], [int(x) for x in labels]
        )

    def _rows(self) -> tuple[Array, Array]:
        if self._held_out is None:
            self._held_out = self._training.held_out()
        return self._held_out
