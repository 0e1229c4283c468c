"""A worker in mode "trial": proves a module on its golden cases, says so, and ends.

Never connects to anything.
"""

import os
from typing import BinaryIO

from edge_agent.errors import ModelError, ShoalError
from edge_agent.runtime.blobs import read_golden
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.exit_status import ExitStatus
from edge_agent.runtime.golden import check_golden, refuse_slow
from edge_agent.runtime.loading import failed, load
from edge_agent.runtime.memory import peak_rss_mb
from edge_agent.runtime.orders import obey
from edge_agent.runtime.protocol import WorkerSpec, WorkerTrialPassed


def try_out(spec: WorkerSpec, orders: BinaryIO, events: BinaryIO) -> ExitStatus:
    """Load the module, run its golden cases, tell the outcome.

    Args:
        spec: what to prove.
        orders: their end ends the process.
        events: where the outcome goes.
    """
    pipe = EventPipe(events, stats=None, interval_s=60.0)
    pipe.start()
    obey(orders, on_order=lambda _: None, on_stop=lambda: os._exit(ExitStatus.FAILED))
    try:
        pipe.send(_prove(spec, pipe))
    except ShoalError as error:
        pipe.send(failed(error))
        return ExitStatus.FAILED
    finally:
        pipe.close()
    return ExitStatus.OK


def _prove(spec: WorkerSpec, pipe: EventPipe) -> WorkerTrialPassed:
    try:
        engine = load(spec, pipe)
        report = check_golden(engine, read_golden(engine.manifest, spec.blob_files))
    except MemoryError as error:
        raise ModelError(
            "not enough memory for this module",
            code="out_of_memory",
            hint="raise runtime.memory_mb of the module, use a smaller model, or free memory "
            "on the device",
        ) from error
    refuse_slow(report, engine.manifest.health.max_p99_ms)
    return WorkerTrialPassed(
        cases=report.cases,
        p99_ms=report.p99_ms,
        max_difference=report.max_difference,
        peak_rss_mb=peak_rss_mb(),
        providers=engine.providers,
        measured=engine.opened.measured if engine.opened.is_new else None,
    )
