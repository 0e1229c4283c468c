"""Models on other providers than the CPU: what is used, and what is said when one is not."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from edge_agent.contract.providers import CPU, SHORT_NAMES
from edge_agent.errors import ModelError, Unsupported
from edge_agent.runtime.session import Feed, ModelSession, Options, open_on
from tests.support.models import linear_model

CUDA = SHORT_NAMES["cuda"]
AZURE = "AzureExecutionProvider"
FEED: Feed = {"X": np.ones((1, 3), np.float32)}
ANSWER = [[[6.5]]]


def answers(session: ModelSession) -> list[Any]:
    return [values.tolist() for values in session.run(["score"], FEED)]


def used(session: ModelSession) -> list[str]:
    return list(session.providers)


class Accelerated:
    """A session on the CPU that says it is on CUDA, and fails its runs when it is told to."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._real = session
        self.get_inputs = session.get_inputs
        self.get_outputs = session.get_outputs
        self.failure: Exception | None = None

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def run(self, names: Sequence[str], feed: Feed, options: ort.RunOptions | None = None) -> Any:
        if self.failure is not None:
            raise self.failure
        return self._real.run(names, feed, options)


class Device:
    """Opens sessions: on CUDA one of ours, on the CPU a real one."""

    def __init__(self, *, has_cuda: bool = True) -> None:
        self.has_cuda = has_cuda
        self.opened: list[tuple[str, ...]] = []
        self.cuda: Accelerated | None = None

    def open(self, model: bytes, providers: Sequence[str], own: Options, threads: int) -> Any:
        self.opened.append(tuple(providers))
        if CUDA not in providers:
            return open_on(model, providers, own, threads)
        if not self.has_cuda:
            raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected")
        self.cuda = Accelerated(open_on(model, (CPU,), {}, threads))
        return self.cuda


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
    device = Device(has_cuda=False)
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
    device = Device()
    session = ModelSession(linear_model(), providers=(CUDA, CPU), opener=device.open)
    told: list[str] = []
    session.on_fall_back = told.append
    assert answers(session) == ANSWER
    assert used(session) == [CUDA, CPU]

    assert device.cuda is not None
    device.cuda.failure = RuntimeError("CUDA failure 2: out of memory on the device")
    assert answers(session) == ANSWER
    assert used(session) == [CPU]
    assert session.notes == tuple(told)
    assert "a run failed: CUDA failure 2" in told[0]
    assert told[0].endswith("it runs on cpu")

    device.cuda.failure = None
    assert answers(session) == ANSWER
    assert used(session) == [CPU]
    assert len(told) == 1


def test_a_message_that_the_cpu_cannot_answer_either_changes_nothing() -> None:
    device = Device()
    session = ModelSession(linear_model(), providers=(CUDA, CPU), opener=device.open)
    assert device.cuda is not None
    device.cuda.failure = RuntimeError("the node does not like this input")
    for _ in range(3):
        with pytest.raises(ModelError, match="does not like"):
            session.run(["score"], {"X": np.ones((1, 4), np.float32)})
    assert used(session) == [CUDA, CPU]
    assert session.notes == ()
    # The CPU's copy was loaded once and not for each message.
    assert device.opened == [(CUDA, CPU), (CPU,)]


def test_a_wrong_feed_never_reaches_for_the_cpu() -> None:
    device = Device()
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
