"""Importing the runtime starts nothing behind our back."""

import subprocess
import sys

SCRIPT = """
import os
import edge_agent.runtime.session
print(len(os.listdir("/proc/self/task")), os.environ["ORT_DISABLE_TELEMETRY"])
"""


def test_importing_onnxruntime_starts_no_thread_and_reports_to_nobody() -> None:
    environment = {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, check=True, timeout=60, env=environment
    )
    assert done.stdout.split() == [b"1", b"1"]
