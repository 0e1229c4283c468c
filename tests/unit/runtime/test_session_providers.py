"""Models on other providers than the CPU: what is used, and what is said when one is not."""

import sys
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from edge_agent.contract.providers import CPU
from edge_agent.errors import ModelError, Unsupported
from edge_agent.runtime.session import Feed, ModelSession
from tests.support.accelerator import CUDA, Accelerator
from tests.support.models import linear_model

AZURE = "AzureExecutionProvider"
FEED: Feed = {"X": np.ones((1, 3), np.float32)}
ANSWER = [[[6.5]]]


def answers(session: ModelSession) -> list[Any]:
    return [values.tolist() for values in session.run(["score"], FEED)]


def used(session: ModelSession) -> list[str]:
    return list(session.providers)


def test_a_provider_that_is_listed_but_takes_no_node_is_told() -> None:
    if AZURE not in ort.get_available_providers():
        pytest.skip("this onnxruntime lists no provider that takes nothing")
    session = ModelSession(linear_model(), providers=(AZURE, CPU))
    assert session.providers == (CPU,)
    assert session.notes == (
        f"{AZURE} is not used: onnxruntime gave it no part of this model; it runs on cpu",
    )
    assert answers(session) == ANSWER


def test_a_provider_that_is_not_offered_is_told() -> None:
    session = ModelSession(linear_model(), providers=("NoSuchExecutionProvider", CPU))
    assert session.providers == (CPU,)
    assert session.notes[0].startswith("NoSuchExecutionProvider is not used: ")
    assert answers(session) == ANSWER


def test_on_the_cpu_there_is_nothing_to_tell() -> None:
    session = ModelSession(linear_model())
    assert (session.providers, session.notes, session.threads) == ((CPU,), (), 1)


def test_a_provider_that_cannot_load_the_model_leaves_it_to_the_next() -> None:
    device = Accelerator(is_there=False)
    session = ModelSession(linear_model(), providers=(CUDA, AZURE, CPU), opener=device.open)
    assert device.opened == [(CUDA, AZURE, CPU), (AZURE, CPU)]
    assert session.providers == (CPU,)
    assert "no CUDA-capable device" in session.notes[0]
    assert answers(session) == ANSWER


def test_a_model_that_no_provider_loads_is_refused_in_the_cpus_words() -> None:
    with pytest.raises(Unsupported) as caught:
        ModelSession(b"no model", providers=(CUDA, CPU))
    assert caught.value.code == "not_onnx"


def test_a_run_that_only_the_accelerator_fails_is_answered_by_the_cpu_from_then_on() -> None:
    device = Accelerator()
    session = ModelSession(linear_model(), providers=(CUDA, CPU), opener=device.open)
    told: list[str] = []
    session.on_fall_back = told.append
    assert answers(session) == ANSWER
    assert used(session) == [CUDA, CPU]

    assert device.session is not None
    device.session.failure = RuntimeError("CUDA failure 2: out of memory on the device")
    assert answers(session) == ANSWER
    assert used(session) == [CPU]
    assert session.notes == tuple(told)
    assert "a run failed: CUDA failure 2" in told[0]
    assert told[0].endswith("it runs on cpu")

    device.session.failure = None
    assert answers(session) == ANSWER
    assert used(session) == [CPU]
    assert len(told) == 1


def test_a_message_that_the_cpu_cannot_answer_either_changes_nothing() -> None:
    device = Accelerator()
    session = ModelSession(linear_model(), providers=(CUDA, CPU), opener=device.open)
    assert device.session is not None
    device.session.failure = RuntimeError("the node does not like this input")
    for _ in range(3):
        with pytest.raises(ModelError, match="does not like"):
            session.run(["score"], {"X": np.ones((1, 4), np.float32)})
    assert used(session) == [CUDA, CPU]
    assert session.notes == ()
    # The CPU's copy was loaded once and not for each message.
    assert device.opened == [(CUDA, CPU), (CPU,)]


def test_a_wrong_feed_never_reaches_for_the_cpu() -> None:
    device = Accelerator()
    session = ModelSession(linear_model(), providers=(CUDA, CPU), opener=device.open)
    with pytest.raises(ModelError, match="Got: 4 Expected: 3"):
        session.run(["score"], {"X": np.ones((1, 4), np.float32)})
    assert device.opened == [(CUDA, CPU)]


def test_the_models_bytes_are_not_kept_beside_the_loaded_model() -> None:
    model = bytes(bytearray(linear_model()))
    before = sys.getrefcount(model)
    session = ModelSession(model, threads=2)
    assert sys.getrefcount(model) == before
    assert session.threads == 2
