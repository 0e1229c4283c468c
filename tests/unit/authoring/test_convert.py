"""Conversion is only believed after a comparison on rows that the model was not fitted on."""

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from cloud_sync.authoring.convert import convert_sklearn, parity_gate, predict_onnx
from cloud_sync.errors import ModuleError

ROWS = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
LABELS = (ROWS.sum(axis=1) > 0).astype(np.int64)


def fitted():
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS[:100], LABELS[:100])


def test_a_faithful_conversion_passes_with_its_figures():
    model = fitted()
    parity = parity_gate(model, convert_sklearn(model, ROWS[:1]), ROWS[100:], 1e-5)
    assert parity.rows == 100
    assert parity.label_agreement == 1.0
    assert 0 < parity.max_difference < 1e-5


def test_the_same_model_gives_the_same_bytes():
    model = fitted()
    assert convert_sklearn(model, ROWS[:1]) == convert_sklearn(model, ROWS[:1])


def test_outputs_are_tensors_and_no_maps():
    label, probabilities = predict_onnx(convert_sklearn(fitted(), ROWS[:1]), ROWS[:7])
    assert label.shape == (7,)
    assert probabilities.shape == (7, 2)


def test_a_conversion_of_another_model_fails_the_gate():
    model = fitted()
    other = LogisticRegression().fit(-ROWS, LABELS)
    with pytest.raises(ModuleError, match="label agreement expected at least 1") as caught:
        parity_gate(model, convert_sklearn(other, ROWS[:1]), ROWS[100:], 1e-5)
    assert caught.value.code == "parity_failed"


def test_a_regression_is_compared_by_its_predictions():
    model = LinearRegression().fit(ROWS, ROWS @ [1.0, 2.0, 3.0])
    converted = convert_sklearn(model, ROWS[:1])
    assert parity_gate(model, converted, ROWS, 1e-4).max_difference < 1e-4
    other = LinearRegression().fit(ROWS, ROWS @ [1.0, 2.0, 3.1])
    with pytest.raises(ModuleError, match="does not agree with the original"):
        parity_gate(other, converted, ROWS, 1e-4)


def test_an_imputer_that_would_lose_columns_is_refused():
    model = make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression())
    with pytest.raises(ModuleError, match="loses its indicator columns"):
        convert_sklearn(model.fit(ROWS, LABELS), ROWS[:1])


def test_a_part_without_a_converter_is_named():
    model = make_pipeline(FunctionTransformer(np.square), LogisticRegression()).fit(ROWS, LABELS)
    with pytest.raises(ModuleError, match="cannot be converted") as caught:
        convert_sklearn(model, ROWS[:1])
    assert caught.value.code == "conversion_failed"


def test_no_held_out_rows_prove_nothing():
    model = fitted()
    with pytest.raises(ModuleError, match="found none"):
        parity_gate(model, convert_sklearn(model, ROWS[:1]), ROWS[:0], 1e-5)
