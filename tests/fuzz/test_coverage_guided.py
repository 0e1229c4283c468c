"""A bounded run of the coverage-guided fuzzer on every reader; by hand it runs for longer."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

RUNS = 20_000


@pytest.mark.slow
@pytest.mark.needs("atheris")
@pytest.mark.parametrize("reader", sorted(TARGETS))
def test_no_input_of_many_is_without_an_answer(reader: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", reader, "--runs", str(RUNS), "--finds", tmp_path],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"Done {RUNS} runs" in done.stderr
    assert not list(tmp_path.iterdir())
