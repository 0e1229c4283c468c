"""Loading a model: how many threads it gets, and when it is measured."""

from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from edge_agent.contract.manifest import Manifest, Runtime, Tensor
from edge_agent.contract.providers import CPU
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import ContractError
from edge_agent.runtime.opening import open_session
from edge_agent.runtime.protocol import Measured, RunsOn
from tests.support.accelerator import CUDA, Accelerator
from tests.support.models import endless_model, linear_model, manifest_of, onnx_model

MODEL = linear_model()


def module(model: bytes = MODEL, **runtime: int) -> Manifest:
    return manifest_of(
        model,
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="array")],
        runtime=Runtime(**runtime),  # type: ignore[arg-type]
    )


def test_a_model_is_measured_when_nothing_is_known_of_it() -> None:
    opened = open_session(MODEL, module(), RunsOn(is_measuring=True), cpus=1)
    assert opened.is_new
    assert opened.measured is not None
    assert opened.measured.threads == opened.session.threads == 1
    assert opened.measured.run_us > 0
    assert opened.measured.batch_rows == 32
    assert opened.measured.batch_gain > 0


def test_what_was_measured_is_not_measured_again() -> None:
    known = Measured(threads=2, run_us=4000.0, batch_rows=32, batch_gain=1.5)
    runs_on = RunsOn(measured=known, is_measuring=True)
    opened = open_session(MODEL, module(), runs_on, cpus=4)
    assert (opened.measured, opened.is_new, opened.session.threads) == (known, False, 2)
    # Fewer processors than there were is seen without another measurement.
    assert open_session(MODEL, module(), runs_on, cpus=1).session.threads == 1


@pytest.mark.parametrize(
    ("threads", "max_threads", "cpus", "expected", "notes"),
    [
        (3, 0, 4, 3, 0),
        (3, 0, 2, 2, 1),
        (3, 1, 4, 1, 1),
        (0, 0, 4, 1, 0),
    ],
)
def test_the_modules_own_number_wins_within_what_is_allowed(
    threads: int, max_threads: int, cpus: int, expected: int, notes: int
) -> None:
    runs_on = RunsOn(max_threads=max_threads)
    opened = open_session(MODEL, module(threads=threads), runs_on, cpus=cpus)
    assert opened.session.threads == expected
    assert len(opened.notes) == notes
    assert opened.measured is None


def test_with_the_modules_own_number_only_batches_are_measured() -> None:
    opened = open_session(MODEL, module(threads=2), RunsOn(is_measuring=True), cpus=4)
    assert opened.measured is not None
    assert opened.measured.threads == opened.session.threads == 2


def test_notes_about_providers_are_passed_on() -> None:
    opened = open_session(MODEL, module(), RunsOn(notes=("cuda is not used: no",)), cpus=1)
    assert opened.notes == opened.fall_backs == ("cuda is not used: no",)


def test_a_model_that_refuses_zeros_is_loaded_all_the_same() -> None:
    two_rows = onnx_model(
        [helper.make_node("Reshape", ["X", "shape"], ["score"])],
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (2, 3))],
        [numpy_helper.from_array(np.array([2, 3], np.int64), "shape")],
    )
    manifest = manifest_of(
        two_rows,
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (2, 3))],
        [Tensor(name="X", source="array")],
    )
    opened = open_session(two_rows, manifest, RunsOn(is_measuring=True), cpus=2)
    assert (opened.measured, opened.is_new) == (None, False)
    assert opened.session.run(["score"], {"X": np.zeros((2, 3), np.float32)})[0].shape == (2, 3)


def test_a_model_that_runs_for_ever_on_zeros_is_given_up_and_not_measured() -> None:
    endless = endless_model(0.0)
    manifest = manifest_of(
        endless,
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("out", "float32", (-1, 3))],
        [Tensor(name="X", source="array")],
        runtime=Runtime(run_timeout_ms=50),
    )
    opened = open_session(endless, manifest, RunsOn(is_measuring=True), cpus=1)
    assert opened.measured is None
    assert opened.session.run(["out"], {"X": np.full((1, 3), -1, np.float32)})[0].shape == (1, 3)


def test_an_accelerator_sees_one_row_and_the_largest_batch_before_any_message() -> None:
    device = Accelerator()
    opened = open_session(
        MODEL, module(max_batch=50), RunsOn(providers=(CUDA, CPU)), cpus=1, opener=device.open
    )
    assert opened.session.providers == (CUDA, CPU)
    assert device.session is not None
    assert device.session.rows == [1, 50]


def test_an_accelerator_that_fails_on_the_first_run_leaves_the_model_to_the_cpu() -> None:
    device = Accelerator()

    def fails(*arguments: Any) -> Any:
        session = device.open(*arguments)
        if device.session is not None:
            device.session.failure = RuntimeError("no kernel for this device")
        return session

    opened = open_session(MODEL, module(), RunsOn(providers=(CUDA, CPU)), cpus=1, opener=fails)
    assert opened.session.providers == (CPU,)
    assert "no kernel for this device" in opened.session.notes[0]


def test_a_manifest_of_another_model_is_refused_before_anything_runs() -> None:
    with pytest.raises(ContractError) as caught:
        open_session(linear_model((1.0, 2.0)), module(), RunsOn(is_measuring=True), cpus=2)
    assert caught.value.code == "signature_mismatch"


def test_what_an_accelerator_may_take_is_said_where_memory_is_bounded() -> None:
    wanted = RunsOn(providers=(CUDA, CPU))
    opened = open_session(MODEL, module(memory_mb=64), wanted, opener=Accelerator().open)
    assert [note for note in opened.notes if "memory_mb" in note]
    assert not opened.fall_backs
    assert not open_session(MODEL, module(), wanted, opener=Accelerator().open).notes
    assert not open_session(MODEL, module(memory_mb=64), RunsOn()).notes
