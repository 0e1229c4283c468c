"""Other inference servers, each in a virtual environment of its own.

    python -m benchmarks.peers [kserve] [mlserver]

makes the environments, pinned by `constraints/NAME.txt`, in `$SHOAL_PEERS` or
`~/.cache/shoal/peers`. They are large, and nothing of ours needs them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

NAMES: Final = ("kserve", "mlserver")
ROOT: Final = Path(__file__).parents[2]
_DONE: Final = "shoal-peer-is-complete"
_INSTALL_S: Final = 900


def python_of(name: str) -> Path | None:
    """The Python of a peer's environment; None if it was not made."""
    venv = _folder(name)
    return venv / "bin" / "python" if (venv / _DONE).exists() else None


def make(name: str) -> Path:
    """Make a peer's environment, unless it is there; its Python.

    Raises:
        subprocess.CalledProcessError: it cannot be installed.
    """
    found = python_of(name)
    if found is not None:
        return found
    venv = _folder(name)
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    pins = ROOT / "constraints" / f"{name}.txt"
    subprocess.run(
        [sys.executable, str(ROOT / "constraints" / "install.py"), str(python), str(pins)],
        check=True,
        timeout=_INSTALL_S,
    )
    (venv / _DONE).touch()
    return python


def _folder(name: str) -> Path:
    place = os.environ.get("SHOAL_PEERS", "")
    folder = Path(place) if place else Path.home() / ".cache" / "shoal" / "peers"
    return folder / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
