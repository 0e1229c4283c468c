"""A worker in mode "shadow": compares what it would have answered until it is told to stop.

Never connects to a broker, and takes only what is left of the processor.
"""

import gc
import logging
import os
import signal
import threading
import time
from typing import BinaryIO

from msgspec.structs import replace

from edge_agent.contract.messages import SlotHealth
from edge_agent.errors import InvalidInput, ShoalError
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.exit_status import ExitStatus
from edge_agent.runtime.loading import failed, load, tell_ready
from edge_agent.runtime.orders import obey
from edge_agent.runtime.protocol import (
    WorkerConnected,
    WorkerOrder,
    WorkerSpec,
    WorkerStats,
)
from edge_agent.runtime.shadow import SHADOW_CONFIG, ShadowSlot, step_back

_log = logging.getLogger("shoal.worker")


def observe(spec: WorkerSpec, orders: BinaryIO, events: BinaryIO) -> ExitStatus:
    """Load the module, say that it is ready, listen when told to, compare until told to stop.

    Args:
        spec: what to run, and where to listen.
        orders: `WorkerOrder` lines; their end is an order to stop.
        events: where event lines go.
    """
    counters = Counters()
    compared: list[ShadowSlot] = []

    def stats() -> WorkerStats:
        return WorkerStats(
            health=_health(spec, counters, compared), failures=dict(counters.failures)
        )

    pipe = EventPipe(events, stats=stats, interval_s=spec.stats_interval_s)
    pipe.start()
    started = time.perf_counter()
    try:
        if not spec.mirror_path or not spec.shadows:
            raise InvalidInput("a shadow needs a slot and a socket", code="spec_invalid")
        # One thread: more would take processor time from those that answer.
        quiet = replace(spec.runs_on, max_threads=1, is_measuring=False)
        engine = load(replace(spec, config=SHADOW_CONFIG, topic_prefix="", runs_on=quiet), pipe)
        slot = ShadowSlot(engine, counters, spec)
    except ShoalError as error:
        pipe.send(failed(error))
        pipe.close()
        return ExitStatus.FAILED
    compared.append(slot)
    begin = threading.Event()

    def on_order(order: WorkerOrder) -> None:
        if order.order == "connect":
            begin.set()
        elif order.order == "stats":
            pipe.send_stats()

    def on_stop() -> None:
        slot.stop()
        begin.set()

    obey(orders, on_order=on_order, on_stop=on_stop)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: on_stop())
    tell_ready(engine, (time.perf_counter() - started) * 1e3, pipe.send)
    gc.collect()
    gc.freeze()
    begin.wait()
    try:
        ear = slot.listen()
    except ShoalError as error:
        pipe.send(failed(error))
        pipe.close()
        return ExitStatus.FAILED
    pipe.send(WorkerConnected(session_present=False))
    # Loading was as urgent as any; from here on everybody else goes first.
    step_back()
    slot.run(ear)
    slot.close()
    pipe.send_stats()
    pipe.close()
    return ExitStatus.OK


def _health(spec: WorkerSpec, counters: Counters, compared: list[ShadowSlot]) -> SlotHealth:
    own = counters.health(
        module=compared[0].module if compared else spec.slot,
        version=spec.version,
        digest=spec.digest,
        pid=os.getpid(),
    )
    return compared[0].health(own) if compared else own
