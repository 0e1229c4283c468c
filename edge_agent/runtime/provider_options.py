"""What each execution provider is told, so that a model gives the same numbers everywhere. Pure.

A provider's own defaults are made for the fastest benchmark: fewer bits, a search at the first run
of every new shape. Here a module's golden cases must hold and batches have any size.
"""

from collections.abc import Mapping
from typing import Final

from edge_agent.contract.providers import CPU

_DEFAULTS: Final[Mapping[str, Mapping[str, str]]] = {
    "CUDAExecutionProvider": {
        # TF32 keeps 10 bits of the mantissa: no golden case with a tolerance of 1e-5 survives it.
        "use_tf32": "0",
        # The default tries every algorithm at the first run of each batch size, for seconds.
        "cudnn_conv_algo_search": "HEURISTIC",
        # The default doubles what it takes from the GPU, which other slots share.
        "arena_extend_strategy": "kSameAsRequested",
    },
    # Otherwise OpenVINO computes in half precision wherever the processor is faster at it.
    "OpenVINOExecutionProvider": {"precision": "ACCURACY"},
}

_THREAD_OPTIONS: Final[Mapping[str, str]] = {
    "OpenVINOExecutionProvider": "num_of_threads",
    "XnnpackExecutionProvider": "intra_op_num_threads",
}
"""Providers with threads of their own, which onnxruntime's setting does not reach."""


def options_of(provider: str, threads: int, own: Mapping[str, str]) -> dict[str, str]:
    """The options of one provider.

    Args:
        provider: onnxruntime's name.
        threads: of one run.
        own: what the device's owner set; wins.
    """
    options = dict(_DEFAULTS.get(provider, {}))
    if provider in _THREAD_OPTIONS:
        options[_THREAD_OPTIONS[provider]] = str(threads)
    return options | dict(own)


def has_threads(provider: str) -> bool:
    """Whether a run on it takes as many threads of the processor as it is told to."""
    return provider == CPU or provider in _THREAD_OPTIONS
