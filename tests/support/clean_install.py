"""Install the base of Shoal into a clean virtual environment, and look at what it weighs."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300

_IMPORT_ALL = """
import importlib, json, pkgutil, sys, time
import edge_agent
names = [m.name for m in pkgutil.walk_packages(edge_agent.__path__, "edge_agent.")
         if not m.name.endswith("__main__")]
started = time.perf_counter()
for name in names:
    importlib.import_module(name)
print(json.dumps({"modules": len(names), "import_ms": (time.perf_counter() - started) * 1e3,
                  "origin": edge_agent.__file__, "cloud": "cloud_sync" in sys.modules}))
"""


@dataclass(frozen=True)
class BaseInstall:
    """What was found.

    Attributes:
        site: the environment's site-packages.
        size_mb: of everything that was installed, without pip itself.
        modules: modules of `edge_agent` that were imported.
        import_ms: for all of them in one process, the second time (files cached).
        imported_from: where `edge_agent` came from.
        cloud_was_imported: whether any of them imported the cloud.
    """

    site: Path
    size_mb: float
    modules: int
    import_ms: float
    imported_from: Path
    cloud_was_imported: bool


def install_base(folder: Path) -> BaseInstall:
    """Build the wheel, install it with the pinned base dependencies, import everything.

    Raises:
        RuntimeError: a step failed; its output is in the text.
    """
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    wheel = next(folder.glob("shoal-*.whl"))
    venv = folder / "venv"
    _run([sys.executable, "-m", "venv", str(venv)], folder)
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    site = next(venv.glob("lib/python3*/site-packages"))
    before = _megabytes(site)
    _run([*pip, "--require-hashes", "-r", str(ROOT / "constraints" / "base.txt")], folder)
    _run([*pip, "--no-deps", str(wheel)], folder)
    size_mb = _megabytes(site) - before
    _run([python, "-c", _IMPORT_ALL], folder)
    found = json.loads(_run([python, "-c", _IMPORT_ALL], folder))
    return BaseInstall(
        site=site,
        size_mb=size_mb,
        modules=found["modules"],
        import_ms=found["import_ms"],
        imported_from=Path(found["origin"]),
        cloud_was_imported=found["cloud"],
    )


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def _megabytes(folder: Path) -> float:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
