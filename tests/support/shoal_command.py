"""`shoal` as a person runs it: its own process, no terminal, no settings of the machine."""

import os
import subprocess
import sys
from dataclasses import dataclass

import msgspec


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def json(self, kind: type = object) -> object:
        return msgspec.json.decode(self.out, type=kind)


@dataclass(frozen=True)
class Shoal:
    """`shoal --server url`, run to its end."""

    url: str = "http://127.0.0.1:9"
    actor: str = "tester"

    def run(self, *arguments: str, timeout_s: float = 60) -> Outcome:
        """Run a command whatever its outcome."""
        finished = subprocess.run(
            [sys.executable, "-m", "cloud_sync.cli.main", *arguments],
            env=environment(self.url, self.actor),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Outcome(finished.returncode, finished.stdout, finished.stderr)

    def ok(self, *arguments: str, timeout_s: float = 60) -> Outcome:
        """Run a command that must succeed."""
        outcome = self.run(*arguments, timeout_s=timeout_s)
        assert outcome.code == 0, f"shoal {' '.join(arguments)}: {outcome}"
        return outcome


def environment(url: str, actor: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
    return kept | {"SHOAL_SERVER": url, "SHOAL_ACTOR": actor}
