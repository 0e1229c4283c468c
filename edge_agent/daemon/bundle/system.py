"""Facts about machine, packages and files, as a bundle has them. Reads only."""

import os
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from edge_agent.config import Settings
from edge_agent.daemon.machine import agent_info, hardware
from edge_agent.errors import ConfigError
from edge_agent.link.certificate import read_certificates

MOST_FILES: Final = 5_000
MOST_PROC_BYTES: Final = 64 * 1024

_MACHINE: Final = (
    "meminfo", "loadavg", "uptime", "cpuinfo", "version", "filesystems", "pressure/cpu",
    "pressure/io", "pressure/memory",
)  # fmt: skip
_OF_THE_AGENT: Final = ("status", "limits", "io", "cgroup", "stat", "oom_score")


def machine_facts(started: float) -> dict[str, Any]:  # Any: facts of several kinds, for JSON
    """What the device is.

    Args:
        started: seconds since 1970, of what looks.
    """
    return {"hardware": hardware(), "agent": agent_info(started), "uname": tuple(os.uname())}


def packages() -> dict[str, str]:
    """Every installed distribution and its version."""
    found = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    return dict(sorted(found.items()))


def proc_facts(folder: Path, pid: int) -> str:
    """What the kernel says about the machine, and about the agent if it runs.

    Args:
        folder: the state directory, for the line of its mount.
        pid: of the agent; 0 without one.
    """
    names = list(_MACHINE)
    if pid:
        names += [f"{pid}/{name}" for name in _OF_THE_AGENT]
    parts = [f"==> /proc/{name}\n{_proc(name)}" for name in names]
    parts.append(f"==> mount of {folder}\n{_mount(folder)}")
    if pid:
        parts.append(f"==> descriptors of the agent\n{_count(Path(f'/proc/{pid}/fd'))}")
        parts.append(f"==> threads of the agent\n{_count(Path(f'/proc/{pid}/task'))}")
    return "\n".join(parts) + "\n"


def state_files(folder: Path) -> Iterator[dict[str, Any]]:  # Any: facts of several kinds
    """Every file below the state directory: name, bytes, mode and age; never what is in it."""
    for count, path in enumerate(sorted(folder.rglob("*"))):
        if count >= MOST_FILES:
            yield {"name": "...", "note": f"more than {MOST_FILES} files"}
            return
        try:
            found = path.lstat()
        except OSError:
            continue
        yield {
            "name": str(path.relative_to(folder)),
            "bytes": found.st_size,
            "mode": stat.filemode(found.st_mode),
            "owner": found.st_uid,
            "modified": round(found.st_mtime, 3),
        }


def credentials(settings: Settings) -> list[dict[str, Any]]:  # Any: facts of several kinds
    """The files of keys and certificates: who may read them, and which certificates they are."""
    told = []
    for section, found in (("cloud", settings.cloud), ("data", settings.data)):
        for key in ("ca_file", "cert_file", "key_file"):
            name = getattr(found, key)
            if name:
                told.append({"setting": f"{section}.{key}", **_credential(Path(name), key)})
    return told


def _credential(path: Path, key: str) -> dict[str, Any]:  # Any: facts of several kinds
    try:
        found = path.stat()
    except OSError as error:
        return {"path": str(path), "problem": error.strerror or str(error)}
    facts: dict[str, Any] = {
        "path": str(path),
        "bytes": found.st_size,
        "mode": stat.filemode(found.st_mode),
        "owner": found.st_uid,
    }
    if key != "key_file":
        try:
            facts["certificates"] = read_certificates(path)[:20]
        except ConfigError as error:
            facts["problem"] = error.text
    return facts


def _proc(name: str) -> str:
    try:
        with Path("/proc", name).open("rb") as file:
            return file.read(MOST_PROC_BYTES).decode("utf-8", "replace")
    except OSError as error:
        return f"({error.strerror})\n"


def _mount(folder: Path) -> str:
    """The mount that a folder is on: the longest that it is below."""
    place = str(folder.resolve())
    above = {"": ""}
    for line in _proc("self/mounts").splitlines():
        point = line.split(" ")[1].rstrip("/")
        if place == point or place.startswith(f"{point}/"):
            above[point] = line
    return above[max(above, key=len)] + "\n"


def _count(folder: Path) -> str:
    try:
        return f"{len(list(folder.iterdir()))}\n"
    except OSError as error:
        return f"({error.strerror})\n"
