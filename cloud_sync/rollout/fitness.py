"""Fitness: whether a device can take a version at all, told before anything is sent. Pure.

What is not known of a device is no obstacle: it is asked to try, and its own trial decides.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from cloud_sync.rollout_resources import Obstacle
from edge_agent.contract.limits import canonical_domain, domain_title
from edge_agent.contract.manifest import Manifest
from edge_agent.contract.providers import CPU, full_name, short_name
from edge_agent.contract.state import Hardware

_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})")
_MB: Final = 2**20


class Format(Struct, frozen=True):
    """The newest formats that a version of onnxruntime loads.

    Attributes:
        ir: of the file.
        opsets: operator set domain to version.
    """

    ir: int
    opsets: Mapping[str, int]


def _format(ir: int, opset: int) -> Format:
    return Format(ir, {"": opset, "ai.onnx.ml": 5, "com.microsoft": 1})


FORMATS: Final[Mapping[tuple[int, int], Format]] = {
    (1, 22): _format(10, 22),
    (1, 23): _format(11, 23),
    (1, 24): _format(13, 25),
    (1, 25): _format(13, 26),
}
"""By the first version that loads them, oldest first; measured with a model of one operator on each
release from 1.22 to 1.31. Older ones than 1.22 no device installs."""


class Machine(Struct, frozen=True, kw_only=True):
    """A device as it described itself.

    Attributes:
        onnxruntime: its version; empty if it has not said.
        hardware: with `memory_mb` 0 and no providers if it has not said.
        disk_free_mb: MiB; None if it has not said.
        is_disk_low: it downloads nothing.
    """

    onnxruntime: str = ""
    hardware: Hardware
    disk_free_mb: float | None = None
    is_disk_low: bool = False


UNKNOWN: Final = Machine(hardware=Hardware())


def obstacles(
    device: str, machine: Machine, manifest: Manifest, bytes_to_send: int
) -> tuple[Obstacle, ...]:
    """Why a device cannot take a version; empty if nothing is known to be in its way.

    Args:
        device: its name.
        machine: what it said of itself.
        manifest: of the version.
        bytes_to_send: of its files that the device has not got.
    """
    found = (
        *_format_obstacles(machine, manifest),
        *_provider_obstacles(machine, manifest),
        *_memory_obstacles(machine, manifest),
        *_disk_obstacles(machine, bytes_to_send),
    )
    return tuple(Obstacle(device=device, code=code, text=text) for code, text in found)


def format_of(onnxruntime: str) -> Format | None:
    """What a version of onnxruntime loads; None if it cannot be told.

    Args:
        onnxruntime: its version, `1.24.1`.
    """
    found = _VERSION.match(onnxruntime)
    if found is None:
        return None
    version = (int(found[1]), int(found[2]))
    reached = [known for known in FORMATS if known <= version]
    return FORMATS[reached[-1]] if reached else None


def _format_obstacles(machine: Machine, manifest: Manifest) -> Iterator[tuple[str, str]]:
    known = format_of(machine.onnxruntime)
    if known is None:
        return
    model, runtime = manifest.model, f"onnxruntime {machine.onnxruntime}"
    if model.ir_version > known.ir:
        text = f"the model's IR version {model.ir_version} is newer than {known.ir}, the newest"
        yield "ir_unsupported", f"{text} that its {runtime} loads"
    for domain, version in sorted(model.opsets.items()):
        newest = known.opsets.get(canonical_domain(domain))
        if newest is not None and version > newest:
            text = f"the model's opset {version} of {domain_title(domain)} is newer than {newest}"
            yield "opset_unsupported", f"{text}, the newest that its {runtime} runs"


def _provider_obstacles(machine: Machine, manifest: Manifest) -> Iterator[tuple[str, str]]:
    wanted = [full_name(name) for name in manifest.runtime.providers]
    have = machine.hardware.providers
    # A module that names the CPU says that it may run there.
    if not wanted or CPU in wanted or not have or set(wanted) & set(have):
        return
    names = ", ".join(map(short_name, wanted))
    reasons = [f"{short_name(n)}: {w}" for n, w in machine.hardware.unusable.items() if n in wanted]
    text = f"models run on {', '.join(map(short_name, have))} there, and not on {names}"
    yield "provider_missing", text + (f" ({'; '.join(reasons)})" if reasons else "")


def _memory_obstacles(machine: Machine, manifest: Manifest) -> Iterator[tuple[str, str]]:
    need, have = manifest.runtime.memory_mb, machine.hardware.memory_mb
    if 0 < have < need:
        yield "memory_short", f"the model may take {need} MB, and the device has {have} MB in all"


def _disk_obstacles(machine: Machine, bytes_to_send: int) -> Iterator[tuple[str, str]]:
    if not bytes_to_send:
        return
    need_mb, free_mb = bytes_to_send / _MB, machine.disk_free_mb
    if machine.is_disk_low:
        yield "disk_short", "its disk is so full that it downloads nothing"
    elif free_mb is not None and free_mb < need_mb:
        yield "disk_short", f"its files take {need_mb:.1f} MB, and {free_mb:.1f} MB are free"
