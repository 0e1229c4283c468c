"""Run every benchmark, one after the other: `python -m benchmarks`."""

import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {"__init__", "__main__", "base_install", "echo", "load", "report"}


def main() -> int:
    folder = Path(__file__).parent
    failed: list[str] = []
    for path in sorted(folder.glob("*.py")):
        if path.stem in NOT_BENCHMARKS:
            continue
        print(f"== python -m benchmarks.{path.stem}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{path.stem}"], check=False)
        if done.returncode != 0:
            failed.append(path.stem)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
