"""The worker process: `python -m edge_agent.runtime.worker`, one slot, told what to do by pipe.

Reads a `WorkerSpec` line and `WorkerOrder` lines from standard input, writes event lines to
standard output, logs to standard error. In mode "trial" it proves the module and ends; in mode
"live" it answers messages until it is stopped by order, by SIGTERM or by the end of its input.

Exit status: 0 proved, or stopped as asked; 1 a `WorkerFailed` line says why; 2 the first line was
no spec. Anything else is a crash of the interpreter or of a library.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from typing import BinaryIO, Final

import msgspec

from edge_agent.contract.manifest import MAX_MANIFEST_BYTES, read_manifest
from edge_agent.errors import (
    IntegrityError,
    InvalidInput,
    ModelError,
    ShoalError,
    StorageError,
    Unsupported,
)
from edge_agent.runtime.blobs import read_blob, read_file, read_golden
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.golden import check_golden, refuse_slow
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.memory import limit_growth, peak_rss_mb, rss_mb
from edge_agent.runtime.protocol import (
    WorkerConnected,
    WorkerDisconnected,
    WorkerFailed,
    WorkerReady,
    WorkerSpec,
    WorkerStats,
    WorkerTrialPassed,
    order_decoder,
    spec_decoder,
)
from edge_agent.runtime.transport import Transport
from edge_agent.runtime.verify import check_digest_of

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_BAD_SPEC: Final = 2

_MAX_LINE_BYTES: Final = 4 * 2**20
_log = logging.getLogger("shoal.worker")


def main() -> int:
    """Run one worker; returns the exit status."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s"
    )
    # Ctrl-C in a terminal reaches the whole group; the agent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders, events = _take_pipes()
    try:
        spec = spec_decoder.decode(orders.readline(_MAX_LINE_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        sys.stderr.write(f"the first line of standard input is no WorkerSpec: {error}\n")
        return EXIT_BAD_SPEC
    return _trial(spec, events) if spec.mode == "trial" else _live(spec, orders, events)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Our two pipes. A library that prints goes to standard error and not between the events."""
    orders = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return orders, events


def _trial(spec: WorkerSpec, events: BinaryIO) -> int:
    pipe = EventPipe(events, stats=None, interval_s=60.0)
    pipe.start()
    try:
        engine = _load(spec)
        report = check_golden(engine, read_golden(engine.manifest, spec.blob_files))
        refuse_slow(report, engine.manifest.health.max_p99_ms)
    except ShoalError as error:
        return _give_up(pipe, error)
    except MemoryError:
        return _give_up(pipe, ModelError("not enough memory for this module", code="out_of_memory"))
    pipe.send(
        WorkerTrialPassed(
            cases=report.cases,
            p99_ms=report.p99_ms,
            max_difference=report.max_difference,
            peak_rss_mb=peak_rss_mb(),
        )
    )
    pipe.close()
    return EXIT_OK


def _live(spec: WorkerSpec, orders: BinaryIO, events: BinaryIO) -> int:
    counters = Counters()
    module = {"name": spec.slot}

    def stats() -> WorkerStats:
        return WorkerStats(
            health=counters.health(
                module=module["name"], version=spec.version, digest=spec.digest, pid=os.getpid()
            )
        )

    pipe = EventPipe(events, stats=stats, interval_s=spec.stats_interval_s)
    pipe.start()
    started = time.perf_counter()
    try:
        engine = _load(spec)
        module["name"] = engine.manifest.name
        slot = LiveSlot(engine, counters, pipe.offer)
        if spec.broker is None or not spec.client_id:
            raise InvalidInput("a live worker needs a broker and a client id", code="spec_invalid")
        transport = Transport(
            spec.broker,
            spec.client_id,
            engine.input_filter,
            stale_filters=spec.stale_filters,
            on_message=slot.handle,
            on_connected=lambda present: pipe.send(WorkerConnected(session_present=present)),
            on_disconnected=lambda text: pipe.send(WorkerDisconnected(text=text)),
        )
    except ShoalError as error:
        return _give_up(pipe, error)
    except MemoryError:
        return _give_up(pipe, ModelError("not enough memory for this module", code="out_of_memory"))
    connect = threading.Event()
    threading.Thread(
        target=_obey, args=(orders, transport, pipe, connect), name="orders", daemon=True
    ).start()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: _stop(transport, connect))
    pipe.send(
        WorkerReady(
            load_ms=(time.perf_counter() - started) * 1e3,
            rss_mb=rss_mb(),
            providers=engine.providers,
        )
    )
    # What is loaded stays; without this, every full collection looks at all of it again.
    gc.collect()
    gc.freeze()
    connect.wait()
    transport.run()
    pipe.send_stats()
    pipe.close()
    return EXIT_OK


def _stop(transport: Transport, connect: threading.Event) -> None:
    transport.stop()
    connect.set()


def _obey(
    orders: BinaryIO, transport: Transport, pipe: EventPipe, connect: threading.Event
) -> None:
    """Read orders until there are no more; then stop, because the agent is gone."""
    try:
        while text := orders.readline(_MAX_LINE_BYTES):
            try:
                order = order_decoder.decode(text).order
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.warning("order_ignored reason=%s", error)
                continue
            match order:
                case "connect":
                    connect.set()
                case "stats":
                    pipe.send_stats()
                case "stop":
                    return
    finally:
        _stop(transport, connect)


def _load(spec: WorkerSpec) -> Engine:
    manifest_bytes = read_file(spec.manifest_file, MAX_MANIFEST_BYTES)
    check_digest_of("manifest", manifest_bytes, spec.digest)
    manifest = read_manifest(manifest_bytes)
    model = read_blob(manifest.model.blob, spec.blob_files)
    limit_growth(manifest.runtime.memory_mb)
    engine = Engine.load(
        manifest_bytes,
        spec.digest,
        model,
        device=spec.device,
        slot=spec.slot,
        version=spec.version,
        config=spec.config,
        topic_prefix=spec.topic_prefix,
    )
    engine.warm_up()
    return engine


def _give_up(pipe: EventPipe, error: ShoalError) -> int:
    kinds = (
        (Unsupported, "unsupported", False),
        (IntegrityError, "integrity", True),
        (StorageError, "storage", True),
        (InvalidInput, "invalid", False),
    )
    kind, is_retryable = "model", isinstance(error, ModelError) and error.code == "out_of_memory"
    for group, name, can_retry in kinds:
        if isinstance(error, group):
            kind, is_retryable = name, can_retry
            break
    failed = msgspec.convert(
        {
            "type": "failed",
            "code": error.code,
            "text": error.text,
            "hint": error.hint,
            "kind": kind,
            "retryable": is_retryable,
        },
        WorkerFailed,
    )
    pipe.send(failed)
    pipe.close()
    return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
