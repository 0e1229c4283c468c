"""This process's memory: how much it uses, and the bound on what a model may add. Linux."""

import resource
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_STATUS: Final = Path("/proc/self/status")
_MB: Final = 2**20
_STACK_BYTES: Final = 8 * _MB
"""Of a thread, where no limit says how large it may be."""
_OWN_THREADS: Final = 6
"""Those of a worker besides the runs': they watch the runs, read orders, send events and dial."""


def rss_mb() -> float:
    """Resident memory now, MB."""
    return _pages(1) * resource.getpagesize() / _MB


def peak_rss_mb() -> float:
    """Largest resident memory of this program so far, MB.

    Not `ru_maxrss`: that one remembers what the process was before it became this program.
    """
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return rss_mb()  # some kernels keep no high-water mark


def limit_growth(memory_mb: int, kept_bytes: int = 0) -> None:
    """Bound the process's own writable memory to what it has now plus some.

    Beyond it, allocations fail where they are asked for, as an error of that one message, and
    not in the kernel, which would end some process of its choice. Addresses that are only
    reserved do not count: an accelerator's driver reserves more of them than there is memory.

    Args:
        memory_mb: what may be added; 0 is no bound.
        kept_bytes: what may be added besides: windows and states, which have a bound of their
            own, and the stacks of threads.
    """
    if memory_mb == 0:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _own_bytes() + memory_mb * _MB + kept_bytes
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def stacks_bytes(run_threads: int) -> int:
    """What the stacks of a worker's threads take of the bound, bytes.

    Each counts whole from its first byte on, although hardly any of it is ever used: without this,
    a model would need another `memory_mb` on a machine with more processors.

    Args:
        run_threads: that a run may have.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    each = _STACK_BYTES if soft == resource.RLIM_INFINITY else soft
    return (run_threads + _OWN_THREADS) * each


def _own_bytes() -> int:
    """What the bound is on: private mappings that may be written to."""
    return _pages(5) * resource.getpagesize()


def _pages(column: int) -> int:
    return int(_STATM.read_text().split()[column])
