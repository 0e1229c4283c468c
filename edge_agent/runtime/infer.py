"""One payload through one module, in a process of its own: `python -m edge_agent.runtime.infer`.

For a person who wants to see what a module says, without a broker: the same engine as the live
worker, so the same answer. `infer` is the caller's side and imports nothing heavy.
"""

import subprocess
import sys
import time
from typing import Final

import msgspec
from msgspec import Raw, Struct

from edge_agent.contract.manifest import MAX_MANIFEST_BYTES
from edge_agent.contract.state import SlotConfig
from edge_agent.errors import ModelError, ShoalError, Unavailable
from edge_agent.runtime.process import crash

TIMEOUT_S: Final = 120.0


class InferRequest(Struct, frozen=True, kw_only=True):
    """What to run.

    Attributes:
        blob_files: blob digest to the file that holds it.
        topic: that the message pretends to come from; empty for one that fits the input filter.
        payload: the message (base64 on the wire).
    """

    manifest_file: str
    digest: str
    blob_files: dict[str, str]
    payload: bytes
    device: str
    slot: str
    version: int = 0
    config: SlotConfig = SlotConfig()
    topic: str = ""


class InferAnswer(Struct, frozen=True, kw_only=True, tag="answer"):
    """What would have been published.

    Attributes:
        is_answered: False if `result` is the structured error.
        topic: where it would have gone; empty if nothing would have been published.
        result: an `InferenceResult` or `InferenceError`; null if a window is not full yet.
    """

    is_answered: bool
    topic: str
    result: Raw
    load_ms: float


class InferRefusal(Struct, frozen=True, kw_only=True, tag="refused"):
    """Why the child could not load the module."""

    code: str
    text: str
    hint: str


def infer(request: InferRequest, *, timeout_s: float = TIMEOUT_S) -> InferAnswer:
    """Run a payload through a module, in a child process.

    Raises:
        ModelError: the module cannot be loaded, ended its process, or took too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "edge_agent.runtime.infer"],
            input=msgspec.json.encode(request),
            stdout=subprocess.PIPE,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"the model expected to answer within {timeout_s:g} s, it did not",
            code="timeout",
            hint="see what else keeps the machine busy, or run fewer rows",
        ) from error
    try:
        found = msgspec.json.decode(done.stdout, type=InferAnswer | InferRefusal)
    except msgspec.DecodeError as error:
        if done.returncode == 0:
            raise Unavailable(
                f"the child process gave no answer: {error}",
                hint="run it again; if it comes back, look at what it wrote before this",
            ) from error
        raise crash(done.returncode) from error
    if isinstance(found, InferRefusal):
        raise ModelError(found.text, code=found.code, hint=found.hint)
    return found


def main() -> int:
    """The child: a request on standard input, an answer on standard output."""
    # Imported in the child only: numpy and onnxruntime.
    from edge_agent.contract.manifest import read_manifest
    from edge_agent.runtime.blobs import read_blob, read_file
    from edge_agent.runtime.engine import Engine
    from edge_agent.runtime.run_watch import deadline

    request = msgspec.json.decode(sys.stdin.buffer.read(), type=InferRequest)
    answer: InferAnswer | InferRefusal
    try:
        started = time.perf_counter()
        manifest_bytes = read_file(request.manifest_file, MAX_MANIFEST_BYTES)
        model = read_blob(read_manifest(manifest_bytes).model.blob, request.blob_files)
        engine = Engine.load(
            manifest_bytes,
            request.digest,
            model,
            device=request.device,
            slot=request.slot,
            version=request.version,
            config=request.config,
        )
        load_ms = (time.perf_counter() - started) * 1e3
        timeout_s = engine.manifest.runtime.run_timeout_ms / 1e3
        with deadline(engine.opened.session, timeout_s):
            topic = request.topic or engine.sample_topic()
            found = engine.answer(topic, request.payload, time.time())
        answer = InferAnswer(
            is_answered=found is not None and found.ok,
            topic=found.topic if found else "",
            result=Raw(found.payload if found else b"null"),
            load_ms=round(load_ms, 3),
        )
    except ShoalError as error:
        answer = InferRefusal(code=error.code, text=error.text, hint=error.hint)
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
