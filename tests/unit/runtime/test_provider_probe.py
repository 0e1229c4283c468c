"""Execution providers are tried, not believed."""

import sys

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, load_model_from_string, numpy_helper

from edge_agent.contract.providers import CPU, REMOTE
from edge_agent.runtime.provider_probe import (
    MODEL,
    Trial,
    probe_providers,
    told_by_log,
    try_provider,
)

CUDA_LOG = (
    "\x1b[1;31m2026-01-01 10:00:00 [E:onnxruntime:Default, provider_bridge_ort.cc:2458 operator()] "
    "/onnxruntime_src/onnxruntime/core/session/provider_bridge_ort.cc:2043 "
    "onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : "
    "Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: "
    "cannot open shared object file: No such file or directory\n\x1b[m\n"
    "[W:onnxruntime:Default, onnxruntime_pybind_state.cc:1295] Failed to create it.\n"
)


def child(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_is_listed_is_tried_and_the_cpu_works() -> None:
    found = probe_providers({})
    assert found.onnxruntime == ort.__version__
    here = [name for name in ort.get_available_providers() if name not in REMOTE]
    assert list(found.providers) == here
    assert found.providers[CPU] == ""


def test_a_provider_that_asks_a_service_far_away_is_not_missed_here() -> None:
    assert "AzureExecutionProvider" not in probe_providers({}).providers


def test_a_provider_that_leaves_all_work_to_the_cpu_does_not_work() -> None:
    if "AzureExecutionProvider" not in ort.get_available_providers():
        pytest.skip("this onnxruntime lists no provider that takes nothing")
    assert try_provider(Trial("AzureExecutionProvider")) == "it takes no part of a model"


def test_a_provider_that_is_not_there_does_not_work() -> None:
    assert try_provider(Trial("NoSuchExecutionProvider")) != ""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with SIGSEGV"),
        ("import os; os._exit(7)", "ended with status 7"),
        ("print('hello')", "nothing that could be read"),
        (
            "import os; os.write(2, b'[E:onnxruntime:Default, x.cc:1 f] no driver'); os.abort()",
            "ended with SIGABRT: no driver",
        ),
    ],
)
def test_how_the_child_ends_is_the_reason(code: str, reason: str) -> None:
    assert reason in try_provider(Trial("X"), command=child(code))


def test_a_provider_that_hangs_is_given_up() -> None:
    hangs = child("import time; time.sleep(600)")
    assert "not run within 0.2 s" in try_provider(Trial("X"), timeout_s=0.2, command=hangs)


def test_without_a_child_there_is_a_reason_too() -> None:
    assert "no process" in try_provider(Trial("X"), command=["/no/such/program"])


def test_the_log_tells_more_than_the_exception() -> None:
    assert told_by_log(CUDA_LOG) == (
        "Failed to load library /x/libonnxruntime_providers_cuda.so with error: "
        "libcublasLt.so.13: cannot open shared object file: No such file or directory"
    )
    assert told_by_log("Traceback ...\nValueError: x\n") == ""


def test_the_tiny_model_is_what_it_says() -> None:
    model = load_model_from_string(MODEL)
    weights = np.arange(16, dtype=np.float32).reshape(4, 4)
    expected = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(weights, "w")],
    )
    assert model.graph == expected
