"""What execution providers depend on: when none of it changed, they need not be tried again.

Reads only. The parsing of what is read is pure.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from importlib import util
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
_NVIDIA: Final = Path("/proc/driver/nvidia/version")
_BOARD: Final = Path("/proc/device-tree/model")
_DEVICES: Final = (
    "nvidia*", "nvhost*", "nvmap", "dri/*", "kfd", "accel/*", "accel*", "apex_*", "hailo*",
    "fastrpc-*", "adsprpc-*", "rknpu*", "galcore", "mali*", "ethosu*",
)  # fmt: skip
"""Device files of graphics processors and neural accelerators, below /dev."""

_ENVIRONMENT: Final = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "PATH")


def cpu_model() -> str:
    """The processor, as far as the kernel knows it; two alike have the same name."""
    return parse_cpu_model(_text(_CPUINFO), _text(_BOARD))


def parse_cpu_model(cpuinfo: str, board: str = "") -> str:
    """A processor's name.

    Args:
        cpuinfo: text of /proc/cpuinfo. On Arm it has numbers and no name.
        board: the board's name from the device tree, or empty.
    """
    facts: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    if name := facts.get("model name"):
        return " ".join(name.split())
    numbers = [facts.get(key, "") for key in ("CPU implementer", "CPU part", "CPU revision")]
    return " ".join(filter(None, [*numbers, board.strip("\0 \n")])) or "unknown"


def fingerprint(options: Mapping[str, Mapping[str, str]]) -> str:
    """One word that changes when a provider may behave differently.

    It covers the libraries of onnxruntime, the processor, the accelerators' device files and
    driver, and what the device's owner set.

    Args:
        options: of providers.
    """
    facts = [
        cpu_model(),
        _text(_NVIDIA),
        *sorted(_libraries()),
        *sorted(_devices(Path("/dev"))),
        *(os.environ.get(name, "") for name in _ENVIRONMENT),
        *(f"{p}.{k}={v}" for p in sorted(options) for k, v in sorted(options[p].items())),
    ]
    return digest(facts)


def digest(facts: Iterable[str]) -> str:
    """One word for many; another order is another word."""
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:32]


def _libraries() -> Iterable[str]:
    """The shared libraries of onnxruntime by name, size and age, without importing it."""
    found = util.find_spec("onnxruntime")
    if found is None or not found.origin:
        return
    for path in (Path(found.origin).parent / "capi").glob("*.so*"):
        try:
            status = path.stat()
        except OSError:
            continue
        yield f"{path}:{status.st_size}:{status.st_mtime_ns}"


def _devices(folder: Path) -> Iterable[str]:
    for pattern in _DEVICES:
        yield from (str(path) for path in folder.glob(pattern))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
