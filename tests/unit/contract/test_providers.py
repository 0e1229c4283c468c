"""Which execution providers a model gets, and what is said about those that it does not get."""

import pytest

from edge_agent.contract.providers import (
    SHORT_NAMES,
    check_provider,
    choose,
    full_name,
    parse_options,
    short_name,
)
from edge_agent.errors import ContractError

CPU, CUDA, TRT = SHORT_NAMES["cpu"], SHORT_NAMES["cuda"], SHORT_NAMES["tensorrt"]
VINO, XNN = SHORT_NAMES["openvino"], SHORT_NAMES["xnnpack"]
BROKEN = "libcublas.so.13: cannot open shared object file"
FOUND = {TRT: BROKEN, CUDA: "", VINO: "", CPU: ""}


@pytest.mark.parametrize(
    ("wanted", "preferred", "providers", "missing"),
    [
        ((), (), (CPU,), ()),
        (("cuda",), (), (CUDA, CPU), ()),
        ((CUDA,), (), (CUDA, CPU), ()),
        ((), ("cuda",), (CUDA, CPU), ()),
        (("openvino",), ("cuda",), (VINO, CUDA, CPU), ()),
        (("cuda", "cuda"), ("cuda",), (CUDA, CPU), ()),
        # The CPU takes every node: nothing behind it is ever asked.
        (("cpu",), ("cuda",), (CPU,), ()),
        (("cuda", "cpu", "openvino"), (), (CUDA, CPU), ()),
        # What does not work is told ...
        (("tensorrt", "cuda"), (), (CUDA, CPU), ("tensorrt",)),
        (("tensorrt",), (), (CPU,), ("tensorrt",)),
        (("xnnpack",), (), (CPU,), ("xnnpack",)),
        (("npu9",), (), (CPU,), ("npu9",)),
        ((), ("xnnpack", "tensorrt"), (CPU,), ("xnnpack", "tensorrt")),
        (("xnnpack",), ("cuda",), (CUDA, CPU), ("xnnpack",)),
        # ... unless something that was preferred to it does.
        (("cuda", "tensorrt"), ("xnnpack",), (CUDA, CPU), ()),
    ],
)
def test_the_module_chooses_first_then_the_device_then_the_cpu(
    wanted: tuple[str, ...],
    preferred: tuple[str, ...],
    providers: tuple[str, ...],
    missing: tuple[str, ...],
) -> None:
    choice = choose(wanted, preferred, FOUND)
    assert choice.providers == providers
    assert tuple(note.split()[0] for note in choice.notes) == missing


def test_a_note_says_what_is_not_used_why_and_what_is() -> None:
    assert choose(("tensorrt", "cuda"), (), FOUND).notes == (
        f"tensorrt is not used: {BROKEN}; it runs on cuda",
    )
    assert choose(("xnnpack",), (), FOUND).notes == (
        "xnnpack is not used: the installed onnxruntime does not offer it; it runs on cpu",
    )


def test_every_short_name_is_the_name_of_one_provider() -> None:
    for short, full in SHORT_NAMES.items():
        assert full_name(short) == full_name(short.upper()) == check_provider(short) == full
        assert short_name(full) == short
    assert check_provider("NewExecutionProvider") == "NewExecutionProvider"
    assert short_name("NewExecutionProvider") == "NewExecutionProvider"


@pytest.mark.parametrize("name", ["", "cud", "gpu", "ExecutionProvider", "CUDA ExecutionProvider"])
def test_what_is_no_provider_is_refused(name: str) -> None:
    with pytest.raises(ContractError) as caught:
        check_provider(name)
    assert caught.value.code == "provider_unknown"


def test_a_misspelt_provider_is_corrected() -> None:
    with pytest.raises(ContractError) as caught:
        check_provider("openvin")
    assert "openvino" in caught.value.hint


def test_options_are_told_to_their_provider() -> None:
    assert parse_options(
        ("openvino.device_type=GPU", "cuda.device_id = 1", "openvino.cache_dir=a=b.c")
    ) == {VINO: {"device_type": "GPU", "cache_dir": "a=b.c"}, CUDA: {"device_id": "1"}}


@pytest.mark.parametrize("option", ["", "cuda", "cuda=1", "cuda.=1", "device_id=1"])
def test_what_is_no_option_is_refused(option: str) -> None:
    with pytest.raises(ContractError, match=r"openvino\.device_type=GPU"):
        parse_options((option,))


def test_a_provider_that_asks_a_service_far_away_runs_no_model_here() -> None:
    azure = "AzureExecutionProvider"
    choice = choose((azure,), (), {azure: "", CPU: ""})
    assert choice.providers == (CPU,)
    assert "service far away" in choice.notes[0]
