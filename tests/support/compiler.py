"""Libraries in C that are put in front of libc in processes under test."""

import shutil
import subprocess
from pathlib import Path


def build_library(source: Path, library: Path, *more: str) -> None:
    """Compile one file to a shared library for LD_PRELOAD.

    Args:
        source: the C file.
        library: what to write.
        more: arguments for the compiler, such as `-ldl`.
    """
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    assert found is not None, "no C compiler on this machine"
    flags = ["-std=gnu11", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([found, *flags, "-o", str(library), str(source), *more], check=True)
