"""What the machine says about itself: processor, memory, disk. Reads only."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from edge_agent.contract.state import AgentInfo, Hardware
from edge_agent.runtime.cpus import allowed_cpus

_MIB: Final = 2**20
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def hardware() -> Hardware:
    """What the device is."""
    pages = os.sysconf("SC_PHYS_PAGES")
    return Hardware(
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        cpus=allowed_cpus(),
        memory_mb=pages * _PAGE // _MIB,
    )


def agent_info(started: float) -> AgentInfo:
    """Which agent this is.

    Args:
        started: seconds since 1970.
    """
    return AgentInfo(
        version=_version("shoal"),
        python=platform.python_version(),
        onnxruntime=_version("onnxruntime"),
        started=started,
    )


def _version(distribution: str) -> str:
    """The installed version, without importing it; empty if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # The second field is the program's name in brackets and may hold anything.
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody waited for yet has."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def rss_mb(pid: int) -> float:
    """Resident memory of a process, MiB; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/statm").read_text()
    except OSError:
        return 0.0
    return int(text.split()[1]) * _PAGE / _MIB


def pss_mb(pid: int) -> float | None:
    """A process's share of memory, MiB: a page that n processes share counts for each as 1/n.

    Takes the kernel most of a millisecond, so not to be asked in every round.

    Returns:
        None if the process is gone, or the kernel does not tell (before 4.14, or by its settings).
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return None
