"""Which execution providers work here: each runs a tiny model in a child process of its own.

That a build of onnxruntime lists a provider says nothing: without its driver it crashes, hangs, or
leaves the work to the CPU without a word. Importing this file imports nothing heavy; the child is
`python -m edge_agent.runtime.provider_probe`, told its provider on standard input.
"""

import base64
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.contract.providers import CPU, REMOTE
from edge_agent.runtime.probe import RuntimeFacts, probe

TIMEOUT_S: Final = 60.0
"""For one provider. TensorRT and OpenVINO compile even a tiny model for seconds."""

MODEL: Final = base64.b64decode(
    "CAc6kQEKEQoBeAoBdxIBeSIGTWF0TXVsEgVwcm9iZSpLCAQIBBABQgF3SkAAAAAAAACAPwAAAEAAAEBAAACAQAAAoEAA"
    "AMBAAADgQAAAAEEAABBBAAAgQQAAMEEAAEBBAABQQQAAYEEAAHBBWhMKAXgSDgoMCAESCAoCCAEKAggEYhMKAXkSDgoM"
    "CAESCAoCCAEKAggEQgQKABAN"
)
"""An ONNX file (opset 13): y = x @ w, w = 0 ... 15 row by row, float32 x [1, 4], y [1, 4]."""

_INPUT: Final = ((1.0, 1.0, 1.0, 1.0),)
_ANSWER: Final = ((24.0, 28.0, 32.0, 36.0),)
_TOLERANCE: Final = 0.1  # half precision is fine here; rubbish is not
_MAX_TEXT: Final = 300
_CHILD: Final = (sys.executable, "-P", "-m", "edge_agent.runtime.provider_probe")
_LOGGED: Final = re.compile(r"\[E:onnxruntime[^\]]*\] (.*)")
_NOISE: Final = re.compile(r"\x1b\[[0-9;]*m|^.*FAIL : |/\S*onnxruntime\S*:\d+ .*?\) (?=[A-Z\[])")
_CPU_IS_LEFT: Final = "assigned to the default CPU EP"
_TAKES_NOTHING: Final = "it takes no part of a model"


class Trial(Struct, frozen=True):
    """What a child is to try.

    Attributes:
        provider: onnxruntime's name.
        options: of it.
    """

    provider: str
    options: dict[str, str] = {}


class Verdict(Struct, frozen=True):
    """What it found: why the provider does not work; empty if it does."""

    reason: str


class FoundProviders(Struct, frozen=True, kw_only=True):
    """What onnxruntime can use here.

    Attributes:
        onnxruntime: its version.
        providers: each that it lists, in its order, to why it does not work; empty if it does.
    """

    onnxruntime: str
    providers: dict[str, str]


def probe_providers(
    options: Mapping[str, Mapping[str, str]], *, timeout_s: float = TIMEOUT_S
) -> FoundProviders:
    """Try every provider for this machine that the installed onnxruntime lists, one by one.

    Args:
        options: by provider.
        timeout_s: for each of them.

    Raises:
        Unsupported: onnxruntime cannot be imported here.
        Unavailable: it could not be asked in time.
    """
    facts: RuntimeFacts = probe()
    found = {
        name: try_provider(Trial(name, dict(options.get(name, {}))), timeout_s=timeout_s)
        for name in facts.providers
        if name not in REMOTE
    }
    return FoundProviders(onnxruntime=facts.onnxruntime, providers=found)


def try_provider(
    trial: Trial, *, timeout_s: float = TIMEOUT_S, command: Sequence[str] = _CHILD
) -> str:
    """Run the tiny model on a provider, in a child process.

    Args:
        command: the child.

    Returns:
        Why it does not work; empty if it does.
    """
    try:
        done = subprocess.run(
            command,
            input=msgspec.json.encode(trial),
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a tiny model was not run within {timeout_s:g} s"
    except OSError as error:
        return f"no process could be started to try it: {error.strerror}"
    log = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        return f"its process ended with {_ending(done.returncode)}{_because(log)}"
    try:
        reason = msgspec.json.decode(done.stdout, type=Verdict).reason
    except msgspec.DecodeError:
        return f"its process said nothing that could be read{_because(log)}"
    return f"{reason}{_because(log)}" if reason == _TAKES_NOTHING else reason


def told_by_log(log: str) -> str:
    """The first error that onnxruntime logged, without colours and places in its source.

    The exception that follows it says only that nobody was left to run the model.
    """
    for line in log.splitlines():
        match = _LOGGED.search(line)
        if match and _CPU_IS_LEFT not in line:
            return _NOISE.sub("", match[1]).strip()[:_MAX_TEXT]
    return ""


def _because(log: str) -> str:
    told = told_by_log(log)
    return f": {told}" if told else ""


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def _run(trial: Trial) -> str:
    """The child's work; see `try_provider`."""
    # Imported in the child only.
    import numpy as np
    import onnxruntime as ort

    from edge_agent.runtime.onnx_failures import first_line
    from edge_agent.runtime.provider_options import options_of

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    ort.set_default_logger_severity(3)  # errors: they say more than the exceptions
    if trial.provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    told = [(trial.provider, options_of(trial.provider, 1, trial.options))]
    try:
        session = ort.InferenceSession(MODEL, options, providers=told, enable_fallback=0)
        if trial.provider not in session.get_providers():
            return _TAKES_NOTHING
        (answer,) = session.run(["y"], {"x": np.array(_INPUT, np.float32)})
    except Exception as error:  # noqa: BLE001 -- onnxruntime's exceptions have no root of their own
        text = first_line(error)
        return _TAKES_NOTHING if _CPU_IS_LEFT in text else text
    if not np.allclose(answer, _ANSWER, atol=_TOLERANCE):
        return f"it computes wrong: expected {_ANSWER[0]}, found {answer.tolist()[0]}"
    return ""


def main() -> int:
    """The child: a trial on standard input, a verdict on standard output."""
    trial = msgspec.json.decode(sys.stdin.buffer.read(), type=Trial)
    verdict = msgspec.json.encode(Verdict(_run(trial)))
    sys.stdout.buffer.write(verdict)
    return 0


if __name__ == "__main__":
    sys.exit(main())
