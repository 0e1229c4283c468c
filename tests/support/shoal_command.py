"""`shoal` as a person types it, without a terminal and without settings of the machine."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cloud_sync.cli.main import main
from tests.support.models import linear_model


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def json(self, kind: type = object) -> object:
        return msgspec.json.decode(self.out, type=kind)


@dataclass(frozen=True)
class Shoal:
    """`shoal --server url`, run to its end: in this process, or in one of its own."""

    url: str = "http://127.0.0.1:9"
    actor: str = "tester"

    def run(self, *arguments: str) -> Outcome:
        """Run a command whatever its outcome. In this process: it saves a second each."""
        out, err = io.StringIO(), io.StringIO()
        root = ("--server", self.url, "--actor", self.actor)
        code: object = None
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main([*root, *arguments])
            except SystemExit as end:
                code = end.code
        return Outcome(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str) -> Outcome:
        """Run a command that must succeed."""
        outcome = self.run(*arguments)
        assert outcome.code == 0, f"shoal {' '.join(arguments)}: {outcome}"
        return outcome

    def process(self, *arguments: str, timeout_s: float = 60) -> Outcome:
        """Run a command in a process of its own, with the environment's settings."""
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


def environment(url: str, actor: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
    return kept | {"SHOAL_SERVER": url, "SHOAL_ACTOR": actor}


def publish_linear(shoal: Shoal, folder: Path, bias: float, trial: str = "") -> None:
    """Publish the next version of a linear model; the folder is made if it is not there.

    Args:
        bias: tells the versions apart.
        trial: of the module, as TOML; only where the folder is made.
    """
    if not folder.exists():
        first = folder.parent / f"{folder.name}.onnx"
        first.write_bytes(linear_model(bias=bias))
        shoal.ok("module", "init", str(folder), "--model", str(first))
        with (folder / "module.toml").open("a") as source:  # [health] is the last table
            source.write(f"trial = {trial}\n" if trial else "")
    else:
        next(folder.glob("*.onnx")).write_bytes(linear_model(bias=bias))
        shoal.ok("module", "golden", str(folder))
    shoal.ok("module", "publish", str(folder))
