"""What every benchmark ends with: its figures as one flat JSON object, printed and written.

Progress goes to standard error, so that the last line of standard output is the result.
"""

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parent / "results"

Figure = str | int | float | bool | None


def say(text: str) -> None:
    """Tell a person how far we are."""
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Figure]:
    """The machine that the figures are of."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions(packages: Iterable[str]) -> dict[str, Figure]:
    """Installed versions, as `NAME_version`."""
    return {
        f"{name.replace('-', '_')}_version": importlib.metadata.version(name) for name in packages
    }


def finish(
    name: str, figures: dict[str, Figure], packages: Iterable[str] = (), *, variant: str = ""
) -> None:
    """Print the result as the last line and write it to benchmarks/results/NAME.json.

    Args:
        name: of the benchmark.
        figures: flat; units stand in the keys.
        packages: whose versions matter to the figures.
        variant: what the benchmark was run with, to be kept beside other variants' results in
            NAME-VARIANT.json.
    """
    result = {"benchmark": name, **figures, **machine(), **versions(["shoal", *packages])}
    RESULTS.mkdir(exist_ok=True)
    for file in [name, f"{name}-{variant}"] if variant else [name]:
        (RESULTS / f"{file}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result), flush=True)


def _processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        if text.startswith("model name"):
            return text.partition(":")[2].strip()
    return platform.processor()
