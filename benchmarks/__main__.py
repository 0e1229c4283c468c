"""Run every benchmark, one after the other: `python -m benchmarks`."""

import subprocess
import sys
from pathlib import Path

from benchmarks.peers.environment import NAMES, python_of
from tests.support.brokers import find_mosquitto

NOT_BENCHMARKS = {
    *("__init__", "__main__", "report"),
    *("crew", "device", "echo", "echo_peers", "echoes", "load", "tabular", "trend"),
}


def main() -> int:
    folder = Path(__file__).parent
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    # `kills` and `soak` are parts of `faults`.
    runs = [[name] for name in names if name not in {"kills", "soak"}]
    if Path(find_mosquitto()).exists():
        runs.insert(names.index("worker"), ["worker", "--broker", "nats"])
    else:
        print("clients: left out, for want of mosquitto", flush=True)
        runs.remove(["clients"])
    if all(python_of(name) for name in NAMES):
        # Else a result without peers would take the place of one with them.
        runs[runs.index(["http"])].append("--peers")
    else:
        print("http: without its peers, for want of `python -m benchmarks.peers`", flush=True)
    failed: list[str] = []
    for name, *options in runs:
        print(f"== python -m benchmarks.{name} {' '.join(options)}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *options]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
