"""What the machine says about processes."""

import mmap
import os
import signal
import subprocess
import sys

from edge_agent.contract.messages import Health
from edge_agent.daemon.machine import pss_mb, rss_mb

SHARED_MB = 64
# A parent that holds memory which its child has, too, and never writes.
FORKED = f"""
import os, sys
held = b"x" * ({SHARED_MB} * 2**20)
child = os.fork()
if child == 0:
    sys.stdin.read()
    os._exit(0)
print(child, flush=True)
sys.stdin.read()
"""


def test_a_process_that_shares_its_memory_is_told_its_share() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        share = pss_mb(child)
        assert share is not None
        # Resident, it has all of it; its share is half.
        assert share < rss_mb(child) - SHARED_MB * 0.4
        os.kill(child, signal.SIGKILL)


def test_what_is_its_own_counts_in_full() -> None:
    before = pss_mb(os.getpid())
    held = mmap.mmap(-1, SHARED_MB * 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    held.write(b"x" * len(held))
    after = pss_mb(os.getpid())
    held.close()
    assert before is not None
    assert after is not None
    assert after > before + SHARED_MB * 0.9


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(30)
    assert pss_mb(process.pid) is None
    assert pss_mb(0) is None


def test_a_devices_memory_is_its_share_and_else_what_is_resident() -> None:
    report = {"device": "d", "boot_id": "b", "time": 1.0, "uptime_s": 1.0, "interval_s": 30.0}
    assert Health(**report, rss_mb=90.0).memory_mb == 90.0
    assert Health(**report, rss_mb=90.0, pss_mb=40.0).memory_mb == 40.0
