"""A disk whose power can be cut: ext4 in a file, and a copy of the file as the disk it leaves.

Mounting needs rights that containers often lack. What is mounted below a folder is unmounted by
`released`, however the block ends.
"""

import filecmp
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BYTES: Final = 32 * 2**20
_MOST_COPIES: Final = 10
_MOUNTS: Final = Path("/proc/self/mounts")


def make(file: Path) -> None:
    """An empty ext4 in a file with holes."""
    with file.open("wb") as image:
        image.truncate(BYTES)
    _run("mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0", str(file))


def mount(file: Path, folder: Path, *options: str) -> Path:
    """Mount an image.

    What a program has not flushed stays in memory: the file system's own timer would only help.

    Args:
        file: the image.
        folder: where; it is made.
        options: of ext4.
    """
    folder.mkdir(exist_ok=True)
    chosen = ",".join(("loop", "commit=300", *options))
    _run("mount", "-t", "ext4", "-o", chosen, str(file), str(folder))
    return folder


def unmount(folder: Path) -> None:
    """Unmount; the loop device goes with it."""
    _run("umount", str(folder))


def cut(file: Path, copy: Path) -> None:
    """What is on the disk now, as another disk. Nobody may be writing but the kernel.

    Raises:
        AssertionError: the kernel writes and writes.
    """
    for _ in range(_MOST_COPIES):
        _copy_with_holes(file, copy)
        # Blocks that are written meanwhile would be a disk that never was.
        if filecmp.cmp(file, copy, shallow=False):
            return
    raise AssertionError(f"{file} does not come to rest")


def _copy_with_holes(file: Path, copy: Path) -> None:
    with file.open("rb") as source, copy.open("wb") as target:
        target.truncate(BYTES)
        at = 0
        while at < BYTES:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                return
            end = os.lseek(source.fileno(), at, os.SEEK_HOLE)
            os.pwrite(target.fileno(), os.pread(source.fileno(), end - at, at), at)
            at = end


@contextmanager
def released(folder: Path) -> Iterator[None]:
    """Unmount whatever is mounted below a folder in the end."""
    try:
        yield
    finally:
        for mounted in reversed(_mounted_below(folder)):
            subprocess.run(["umount", "-l", mounted], check=False)


def _mounted_below(folder: Path) -> list[str]:
    lines = [line.split(" ")[1] for line in _MOUNTS.read_text().splitlines()]
    return [mounted for mounted in lines if mounted.startswith(f"{folder}/")]


def can_mount() -> bool:
    """Whether images can be made and mounted here."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    with tempfile.TemporaryDirectory() as name, released(Path(name)):
        try:
            make(Path(name) / "image")
            mount(Path(name) / "image", Path(name) / "disk")
        except subprocess.CalledProcessError:
            return False
    return True


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
