"""From a spec to a model that is ready to answer, and from what went wrong to an event.

Every mode of a worker begins here. Reads only the files that the spec names.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from msgspec import Struct

from edge_agent.contract.fit import check_fit
from edge_agent.contract.kept import kept
from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, read_manifest
from edge_agent.contract.providers import CPU
from edge_agent.errors import (
    IntegrityError,
    InvalidInput,
    ModelError,
    ShoalError,
    StorageError,
    Unsupported,
)
from edge_agent.runtime.binding.store import own_bytes
from edge_agent.runtime.blobs import read_blob, read_file
from edge_agent.runtime.cpus import allowed_cpus
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.exit_status import ExitStatus
from edge_agent.runtime.memory import limit_growth, rss_mb, stacks_bytes
from edge_agent.runtime.protocol import WorkerFailed, WorkerFellBack, WorkerReady, WorkerSpec
from edge_agent.runtime.run_watch import RunWatch
from edge_agent.runtime.verify import check_digest_of

Kind = Literal["invalid", "unsupported", "integrity", "storage", "model"]

_KINDS: Final[tuple[tuple[type[ShoalError], Kind, bool], ...]] = (
    (Unsupported, "unsupported", False),
    (IntegrityError, "integrity", True),
    (StorageError, "storage", True),
    (InvalidInput, "invalid", False),
)
"""Group of errors, its name on the wire, whether trying again can help."""


def load(spec: WorkerSpec, pipe: EventPipe) -> Engine:
    """Verify, load and warm a module. From here on every run of the model has a deadline, and the
    process's memory is bounded: on an accelerator when the model is loaded, else before.

    Args:
        spec: what to load.
        pipe: told before the process ends because a run does not.

    Raises:
        IntegrityError: a file is not what the spec says.
        StorageError: a file cannot be read.
        Unsupported: the module can never run here.
        ModelError: it did not load or did not run.
        InvalidInput: its manifest or its settings are wrong.
    """
    manifest_bytes = read_file(spec.manifest_file, MAX_MANIFEST_BYTES)
    check_digest_of("manifest", manifest_bytes, spec.digest)
    manifest = read_manifest(manifest_bytes)
    model = read_blob(manifest.model.blob, spec.blob_files)
    check_fit(manifest)
    keeps = kept(manifest)
    memory_mb, allowed = manifest.runtime.memory_mb, allowed_cpus()
    kept_bytes = stacks_bytes(min(manifest.runtime.threads or allowed, allowed))
    kept_bytes += own_bytes(keeps) if keeps is not None else 0
    is_on_cpu = spec.runs_on.providers[0] == CPU
    if is_on_cpu:
        limit_growth(memory_mb, kept_bytes)
    try:
        engine = Engine.load(
            manifest_bytes,
            spec.digest,
            model,
            device=spec.device,
            slot=spec.slot,
            version=spec.version,
            config=spec.config,
            topic_prefix=spec.topic_prefix,
            runs_on=spec.runs_on,
        )
        _watch(engine, pipe)
        engine.warm_up()
    except MemoryError as error:
        raise ModelError(
            "not enough memory for this module",
            code="out_of_memory",
            hint="raise runtime.memory_mb of the module, use a smaller model, or free memory "
            "on the device",
        ) from error
    if not is_on_cpu:
        # Not before: its libraries and its driver are loaded with the model, and need far more.
        limit_growth(memory_mb, kept_bytes)
    return engine


def tell_ready(engine: Engine, load_ms: float, send: Callable[[Struct], None]) -> None:
    """Say that a module is loaded, and what is not as it was asked for: now, and in later runs.

    Args:
        load_ms: what loading took.
        send: takes events; on any thread.
    """
    session, opened = engine.opened.session, engine.opened
    send(
        WorkerReady(
            load_ms=load_ms,
            rss_mb=rss_mb(),
            providers=session.providers,
            threads=session.threads,
            measured=opened.measured if opened.is_new else None,
        )
    )

    def fell_back(text: str) -> None:
        send(WorkerFellBack(text=text, providers=session.providers))

    for note in (*opened.fall_backs, *session.notes):
        fell_back(note)
    session.on_fall_back = fell_back


def _watch(engine: Engine, pipe: EventPipe) -> None:
    limit_s = engine.manifest.runtime.run_timeout_ms / 1e3

    def on_stuck(what: str) -> None:
        # The agent sees it too, and ends a process that cannot even do this.
        pipe.send(failed(_stuck(what, limit_s)))
        pipe.close()
        os._exit(ExitStatus.FAILED)

    for what, running in engine.watched:
        RunWatch(running, limit_s, partial(on_stuck, what)).start()


def _stuck(what: str, limit_s: float) -> ModelError:
    """The error of something that did not end although it was asked to."""
    return ModelError(
        f"{what} expected to end within {limit_s:g} s, did not, and could not be ended",
        code="worker_hung",
        hint="raise runtime.run_timeout_ms, or use a smaller model on this machine",
    )


def failed(error: ShoalError) -> WorkerFailed:
    """The event for an error that ends a worker."""
    kind: Kind = "model"
    can_retry = isinstance(error, ModelError) and error.code in ("out_of_memory", "worker_hung")
    for group, name, is_retryable in _KINDS:
        if isinstance(error, group):
            kind, can_retry = name, is_retryable
            break
    return WorkerFailed(
        code=error.code, text=error.text, hint=error.hint, kind=kind, retryable=can_retry
    )
