"""What a process says about its memory."""

import subprocess
import sys

from edge_agent.runtime.memory import peak_rss_mb, rss_mb

MODEST = "from edge_agent.runtime.memory import peak_rss_mb; print(peak_rss_mb())"
BIG_BEFORE = f"""
import os, sys
b"x" * (200 * 2**20)
os.execv(sys.executable, [sys.executable, "-c", {MODEST!r}])
"""


def test_the_peak_is_not_that_of_the_program_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BIG_BEFORE], capture_output=True, check=True, timeout=30
    )
    assert 1 < float(done.stdout) < 100


def test_the_peak_stays() -> None:
    held = b"x" * (100 * 2**20)
    del held
    assert peak_rss_mb() > rss_mb() + 50
