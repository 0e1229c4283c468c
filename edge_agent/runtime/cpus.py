"""How many processors this process may use: its affinity (cpuset) and its cgroup's quota.

onnxruntime takes one thread for each core of the machine; in a container with half a core these
threads only stand in each other's way. Parsing is pure; `allowed_cpus` alone reads. Linux.
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

_PROC: Final = Path("/proc/self")


class Cgroup(Struct, frozen=True):
    """A mounted hierarchy of control groups that can bound processor time.

    Attributes:
        version: 1 or 2.
        mount: where it is mounted.
        path: of this process's group below `mount`, "." for the top.
    """

    version: int
    mount: str
    path: str

    def folders(self) -> Iterator[PurePosixPath]:
        """The group's folder and every one above it: each may bound those below it."""
        folder = PurePosixPath(self.mount) / self.path
        yield folder
        for parent in folder.parents:
            if not parent.is_relative_to(self.mount):
                return
            yield parent


def cgroups(membership: str, mounts: str) -> list[Cgroup]:
    """The hierarchies that bound this process's processor time.

    Args:
        membership: text of /proc/self/cgroup.
        mounts: text of /proc/self/mountinfo.
    """
    v1_path = v2_path = None
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            v2_path = path
        elif "cpu" in controllers.split(","):
            v1_path = path
    found = []
    for line in mounts.splitlines():
        front, _, back = line.partition(" - ")
        fields, kind = front.split(), back.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        root, mount = fields[3], fields[4]
        if kind[0] == "cgroup2" and v2_path is not None:
            found.append(Cgroup(2, mount, _below(v2_path, root)))
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(",") and v1_path is not None:
            found.append(Cgroup(1, mount, _below(v1_path, root)))
    return found


def _below(path: str, root: str) -> str:
    """A group's path from what is mounted. In a container, what is mounted is the group itself."""
    whole = PurePosixPath(path)
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else "."


def quota_v2(cpu_max: str) -> float | None:
    """Processors that a `cpu.max` allows ("200000 100000" is 2.0); None if it is no bound."""
    fields = cpu_max.split()
    return _ratio(fields[0], fields[1]) if len(fields) == 2 else None


def quota_v1(quota_us: str, period_us: str) -> float | None:
    """Processors that `cpu.cfs_quota_us` and `cpu.cfs_period_us` allow; None for no bound."""
    return _ratio(quota_us.strip(), period_us.strip())


def _ratio(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:
        return None  # "max" and "-1" are no bounds
    return int(quota) / int(period)


def whole_cpus(affinity: int, quotas: list[float]) -> int:
    """How many threads have a processor each.

    Args:
        affinity: processors that the process may be scheduled on.
        quotas: processor time that its groups get, in processors. Part of one is rounded off: a
            thread more than the quota carries makes all of them wait for the next period.
    """
    return max(1, min([affinity, *(int(quota) for quota in quotas)]))


def allowed_cpus(proc: Path = _PROC, affinity: int = 0) -> int:
    """How many processors this process may use; at least 1.

    Args:
        proc: the folder of this process in /proc.
        affinity: processors that it may be scheduled on; 0 asks the kernel.
    """
    groups = cgroups(_read(proc / "cgroup"), _read(proc / "mountinfo"))
    quotas = [
        quota
        for group in groups
        for folder in group.folders()
        if (quota := _quota(group.version, Path(folder))) is not None
    ]
    return whole_cpus(affinity or len(os.sched_getaffinity(0)), quotas)


def _quota(version: int, folder: Path) -> float | None:
    if version == 2:
        return quota_v2(_read(folder / "cpu.max"))
    return quota_v1(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
