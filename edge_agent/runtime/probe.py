"""What inference can use on this machine, found out in a child process.

Some builds of onnxruntime die with an illegal instruction when imported on an older processor;
that must not be the agent's end. Importing this file imports nothing heavy.
"""

import subprocess
import sys
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.errors import Unavailable, Unsupported

_MAX_TEXT: Final = 300


class RuntimeFacts(Struct, frozen=True, kw_only=True):
    """Versions of the libraries, and the execution providers in onnxruntime's order."""

    onnxruntime: str
    numpy: str
    providers: tuple[str, ...]


def probe(timeout_s: float = 60.0) -> RuntimeFacts:
    """Import numpy and onnxruntime in a child process and ask them.

    Raises:
        Unsupported: `runtime_broken`: they cannot be imported here, or end the process.
        Unavailable: `probe_timeout`: no answer in time.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "edge_agent.runtime.probe"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(
            f"onnxruntime expected to answer within {timeout_s:g} s, did not",
            hint="is the machine overloaded? run it again",
            code="probe_timeout",
        ) from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        what = f"signal {-done.returncode}" if done.returncode < 0 else f"exit {done.returncode}"
        raise Unsupported(
            f"onnxruntime cannot be used on this machine ({what}): {' '.join(last)[:_MAX_TEXT]}",
            hint="install a build of onnxruntime that is made for this processor",
            code="runtime_broken",
        )
    return msgspec.json.decode(done.stdout, type=RuntimeFacts)


def _look() -> RuntimeFacts:
    import numpy as np
    import onnxruntime

    return RuntimeFacts(
        onnxruntime=onnxruntime.__version__,
        numpy=np.__version__,
        providers=tuple(onnxruntime.get_available_providers()),
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_look()))
