"""From scikit-learn to ONNX, and the proof that both say the same.

A converter that succeeds has proved nothing. Known cases that convert without a word and then
answer differently:

- `SimpleImputer(add_indicator=True)`: the indicator columns are dropped. Refused here.
- XGBoost behind a scaler that was fitted on float64: thresholds between two float32 values.
  Fit it on the float32 features that the ONNX preprocessing computes.
- Forests with float64 input: onnxruntime does not load them. The input is float32 here.

Hence the parity gate: on rows that the model was not fitted on, always. Never writes a file.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from cloud_sync.authoring.measured import MIN_LABEL_AGREEMENT, parity_problem
from cloud_sync.errors import ModuleError
from edge_agent.contract.limits import MAX_IR
from edge_agent.contract.manifest import Parity
from edge_agent.errors import ShoalError
from edge_agent.runtime.session import Array, ModelSession

TARGET_OPSETS: Final[Mapping[str, int]] = {"": 18, "ai.onnx.ml": 3}
"""Old enough for every onnxruntime that devices have, new enough for every converter used here."""

Estimator = Any  # scikit-learn's estimators share methods, not a typed class


def convert_sklearn(model: Estimator, sample: Array, *, input_name: str = "X") -> bytes:
    """Convert a fitted estimator or pipeline.

    Args:
        model: fitted.
        sample: [N, F], a few rows. Floats become a float32 input, whole numbers int64,
            everything else strings.
        input_name: of the ONNX model's one input.

    Returns:
        The ONNX file's bytes; the same for the same estimator.

    Raises:
        ModuleError: the converter does not know a part of it, or is known to get it wrong.
    """
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.base import is_classifier

    _refuse_traps(model)
    if sample.ndim != 2:
        raise ModuleError(
            f"sample expected rows, [N, F]; found the shape {list(sample.shape)}",
            hint="give a two-dimensional array, a row a sample",
        )
    kinds = {"f": FloatTensorType, "i": Int64TensorType, "u": Int64TensorType}
    kind = kinds.get(sample.dtype.kind, StringTensorType)
    try:
        with warnings.catch_warnings():
            # The converters read attributes that scikit-learn is about to rename.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            converted = to_onnx(
                model,
                initial_types=[(input_name, kind([None, sample.shape[1]]))],
                options={id(model): {"zipmap": False}} if is_classifier(model) else None,
                target_opset=dict(TARGET_OPSETS),
                name=type(model).__name__,  # the default name may differ from run to run
            )
    except Exception as error:  # converters raise whatever their parts raise
        raise ModuleError(
            f"{type(model).__name__} cannot be converted to ONNX: {error}",
            hint="see skl2onnx's list of supported estimators",
            code="conversion_failed",
        ) from error
    converted.ir_version = min(converted.ir_version, MAX_IR)
    data: bytes = converted.SerializeToString(deterministic=True)
    return data


def parity_gate(
    model: Estimator,
    onnx_bytes: bytes,
    held_out: Array,
    tolerance: float,
    *,
    min_label_agreement: float = MIN_LABEL_AGREEMENT,
) -> Parity:
    """Compare a converted model with the one it came from.

    For a classifier the labels and, where both have them, the scores are compared; for everything
    else the predictions. Rows go through onnxruntime exactly as on a device.

    Args:
        model: the fitted estimator.
        onnx_bytes: the converted model; its first output is the label or the prediction, its
            second the scores.
        held_out: [N, F], rows that the model was not fitted on.
        tolerance: largest difference of a score, absolute.
        min_label_agreement: share of rows, 0 to 1.

    Raises:
        ModuleError: they differ by more than is allowed, or the converted model does not run.
    """
    from sklearn.base import is_classifier

    if len(held_out) == 0:
        raise ModuleError(
            "the parity gate expected held-out rows, found none",
            hint="keep some rows out of the training, and give them here",
        )
    outputs = predict_onnx(onnx_bytes, held_out)
    predicted = np.asarray(model.predict(held_out))
    if is_classifier(model):
        agreement = float(np.mean(outputs[0].ravel() == predicted.ravel()))
        scores = _scores(model, held_out)
        difference = 0.0
        if scores is not None and len(outputs) > 1 and outputs[1].size == scores.size:
            difference = _largest_difference(outputs[1], scores)
    else:
        difference = _largest_difference(outputs[0], predicted)
        agreement = 1.0 if difference <= tolerance else 0.0
    parity = Parity(
        rows=len(held_out),
        label_agreement=agreement,
        max_difference=difference,
        tolerance=tolerance,
    )
    problem = parity_problem(parity, min_label_agreement)
    if problem:
        raise ModuleError(
            f"the converted {type(model).__name__} does not agree with the original: {problem}",
            hint="the converter gets a part of the model wrong; leave parts out until it agrees",
            code="parity_failed",
        )
    return parity


def predict_onnx(onnx_bytes: bytes, rows: Array) -> list[Array]:
    """Every output of a converted model for some rows, computed as on a device.

    Args:
        onnx_bytes: a model with one input.
        rows: [N, F].

    Raises:
        ModuleError: the model does not load or does not run.
    """
    try:
        session = ModelSession(onnx_bytes)
        spec = session.inputs[0]
        dtype = object if spec.dtype == "string" else spec.dtype
        return session.run([o.name for o in session.outputs], {spec.name: rows.astype(dtype)})
    except ShoalError as error:
        raise ModuleError(
            f"the converted model does not run: {error.text}", hint=error.hint, code=error.code
        ) from error


def _scores(model: Estimator, rows: Array) -> Array | None:
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            return np.asarray(getattr(model, method)(rows))
    return None


def _largest_difference(left: Array, right: Array) -> float:
    """NaN on one side only is an infinite difference: it must never pass as a small one."""
    a = left.astype(np.float64).ravel()
    b = right.astype(np.float64).ravel()
    if a.shape != b.shape or bool(np.any(np.isnan(a) != np.isnan(b))):
        return float("inf")
    both = ~np.isnan(a)
    return float(np.max(np.abs(a[both] - b[both]), initial=0.0))


def _refuse_traps(model: Estimator) -> None:
    for part in _parts(model):
        if type(part).__name__ == "SimpleImputer" and getattr(part, "add_indicator", False):
            raise ModuleError(
                "SimpleImputer(add_indicator=True) loses its indicator columns when it is "
                "converted",
                hint="use add_indicator=False, or MissingIndicator beside it in a FeatureUnion",
                code="conversion_failed",
            )


def _parts(model: Estimator) -> Iterator[Estimator]:
    """An estimator and everything inside it."""
    yield model
    for attribute in ("steps", "transformers", "transformer_list", "estimators"):
        for entry in getattr(model, attribute, None) or ():
            for item in entry if isinstance(entry, tuple) else (entry,):
                if hasattr(item, "get_params"):
                    yield from _parts(item)
