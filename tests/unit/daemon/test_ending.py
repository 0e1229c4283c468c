"""How a run ends: who says so first, and with which exit status."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading
from edge_agent.daemon.ending import Ending

def fail():
    raise ValueError("a defect")

ending = Ending()
ending.listen()
assert not ending.wait(0)
if sys.argv[1] == "defect":
    threading.Thread(target=fail, name="uplink").start()
else:
    os.kill(os.getpid(), int(sys.argv[1]))
assert ending.wait(30)
print(ending.reason)
sys.exit(ending.exit_code)
"""


@pytest.mark.parametrize(
    ("cause", "reason", "status"),
    [
        (str(int(signal.SIGTERM)), "SIGTERM", 0),
        (str(int(signal.SIGINT)), "SIGINT", 0),
        ("defect", "internal error", 70),
    ],
)
def test_a_run_ends_by_a_signal_or_a_defect(cause: str, reason: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, cause],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == reason, done.stderr
    assert done.returncode == status
    assert ("event=thread_died thread=uplink" in done.stderr) == (cause == "defect")
