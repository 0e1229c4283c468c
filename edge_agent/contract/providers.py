"""Execution providers of onnxruntime: their names, and which of them a model gets. Pure.

A module says what it prefers, a device says what it prefers, a probe says what works. This file
never asks the machine; it only decides, and says what was wanted and is not used.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from edge_agent.contract.names import choice_hint
from edge_agent.errors import ContractError

CPU: Final = "CPUExecutionProvider"
"""Always there: onnxruntime runs on it whatever no other provider takes."""

REMOTE: Final = frozenset({"AzureExecutionProvider"})
"""In every build for the CPU, and for no hardware: they have a service far away compute."""

SHORT_NAMES: Final[dict[str, str]] = {
    "acl": "ACLExecutionProvider",
    "cann": "CANNExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "dml": "DmlExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "nnapi": "NnapiExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "rknpu": "RknpuExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "vitisai": "VitisAIExecutionProvider",
    "vsinpu": "VSINPUExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}

_LONG_NAMES: Final = {name: short for short, name in SHORT_NAMES.items()}
_FULL: Final = re.compile(r"[A-Za-z0-9]{1,50}ExecutionProvider")
_NOT_OFFERED: Final = "the installed onnxruntime does not offer it"
_NOT_HERE: Final = "it has a service far away compute, and models run on the device"


class Choice(Struct, frozen=True):
    """What a model is to run on.

    Attributes:
        providers: in order of preference, by onnxruntime's names; the last is the CPU's.
        notes: what was preferred to the first of them and is not used, one sentence each.
    """

    providers: tuple[str, ...] = (CPU,)
    notes: tuple[str, ...] = ()


def full_name(name: str) -> str:
    """A provider as onnxruntime calls it; a name that is not known stays as it is."""
    return SHORT_NAMES.get(name.lower(), name)


def short_name(name: str) -> str:
    """A provider as people call it."""
    return _LONG_NAMES.get(name, name)


def check_provider(name: str) -> str:
    """A provider as onnxruntime calls it, from either of its names.

    Raises:
        ContractError: `provider_unknown`: it is no such name.
    """
    full = full_name(name)
    if not _FULL.fullmatch(full):
        raise ContractError(
            f"execution provider expected one of {', '.join(SHORT_NAMES)}, or a name of "
            f"onnxruntime that ends with ExecutionProvider; found {name!r:.80}",
            hint=choice_hint(name.lower(), SHORT_NAMES),
            code="provider_unknown",
        )
    return full


def choose(wanted: Iterable[str], preferred: Iterable[str], found: Mapping[str, str]) -> Choice:
    """Which providers a model gets: first what its module wants, then what its device prefers.

    What stands behind the CPU in the list is never used, because the CPU takes every node. With
    two empty lists it is the CPU alone: an accelerator costs memory, is slower for a small model
    and rounds differently, so somebody has to ask for it.

    Args:
        wanted: by the module, names of either kind.
        preferred: by the device, names of either kind.
        found: onnxruntime's name of each provider that it offers here to the reason why it does
            not work; empty if it does.
    """
    chosen: list[str] = []
    missing: dict[str, str] = {}
    for name in map(full_name, (*wanted, *preferred)):
        if name == CPU:
            break
        reason = _NOT_HERE if name in REMOTE else found.get(name, _NOT_OFFERED)
        if not reason:
            chosen.append(name)
        elif not chosen:
            missing[name] = reason
    providers = tuple(dict.fromkeys((*chosen, CPU)))
    notes = tuple(
        fallback_note(name, reason, short_name(providers[0])) for name, reason in missing.items()
    )
    return Choice(providers, notes)


def fallback_note(name: str, reason: str, instead: str) -> str:
    """One sentence that says what is not used, why, and what is."""
    return f"{short_name(name)} is not used: {reason.rstrip('.')}; it runs on {instead}"


def parse_options(options: Iterable[str]) -> dict[str, dict[str, str]]:
    """Provider options as onnxruntime takes them, from `PROVIDER.OPTION=VALUE`.

    Raises:
        ContractError: `provider_option_invalid` or `provider_unknown`.
    """
    parsed: dict[str, dict[str, str]] = {}
    for option in options:
        path, equals, value = option.partition("=")
        provider, dot, key = path.strip().partition(".")
        if not (equals and dot and key):
            raise ContractError(
                f"expected PROVIDER.OPTION=VALUE, as in openvino.device_type=GPU; "
                f"found {option!r:.100}",
                code="provider_option_invalid",
                hint="write one option a string, the provider's name first",
            )
        parsed.setdefault(check_provider(provider), {})[key] = value.strip()
    return parsed
