"""A worker in mode "live": answers the messages of its slot until it is told to stop.

Puts the parts of the data path together and runs them; each of them is a file of its own.
"""

import functools
import gc
import os
import signal
import time
from typing import BinaryIO

from edge_agent.errors import InvalidInput, ShoalError
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.door import Door
from edge_agent.runtime.door_answers import DoorAnswers
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.exit_status import ExitStatus
from edge_agent.runtime.handles import Handles
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.loading import failed, load, tell_ready
from edge_agent.runtime.loop import Loop
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.mqtt.reader import MAX_HEAD_BYTES, MAX_PACKET_BYTES
from edge_agent.runtime.orders import obey
from edge_agent.runtime.protocol import (
    WorkerBeganEmpty,
    WorkerConnected,
    WorkerDisconnected,
    WorkerOrder,
    WorkerRival,
    WorkerSpec,
    WorkerStats,
)
from edge_agent.runtime.run_guard import RunGuard
from edge_agent.runtime.run_mark import RunMark
from edge_agent.runtime.transport import MAX_IN_FLIGHT, Transport


def serve(spec: WorkerSpec, orders: BinaryIO, events: BinaryIO, handles: Handles) -> ExitStatus:
    """Load the module, say that it is ready, connect when told to, answer until told to stop.

    Args:
        spec: what to run, and where.
        orders: `WorkerOrder` lines; their end is an order to stop.
        events: where event lines go.
        handles: memory that is shared with the agent.
    """
    counters = Counters()
    module = {"name": spec.slot}
    mirror = Mirror(version=spec.version, digest=spec.digest)

    def stats() -> WorkerStats:
        mirror.catch_up()
        return WorkerStats(
            health=counters.health(
                module=module["name"], version=spec.version, digest=spec.digest, pid=os.getpid()
            ),
            failures=dict(counters.failures),
        )

    pipe = EventPipe(events, stats=stats, interval_s=spec.stats_interval_s)
    pipe.start()
    loop = Loop()
    started = time.perf_counter()
    try:
        engine = load(spec, pipe)
        module["name"] = engine.manifest.name
        mirror.names = tuple(output.name for output in engine.manifest.model.outputs)
        limit_s = engine.manifest.runtime.run_timeout_ms / 1e3
        guard = RunGuard(RunMark(handles.run_mark), limit_s, pipe.send, now=time.monotonic())
        slot = LiveSlot(engine, counters, pipe.offer, mirror, guard=guard)
        door = _door(spec, engine, counters, guard, loop) if spec.door_path else None
        transport = _transport(spec, engine, slot, pipe, loop, door)
    except ShoalError as error:
        pipe.send(failed(error))
        pipe.close()
        return ExitStatus.FAILED

    def attach(state: int) -> None:
        if lost := engine.attach(state):
            pipe.send(WorkerBeganEmpty(text=lost))

    def on_order(order: WorkerOrder) -> None:
        match order.order:
            case "connect":
                if handles.state is not None:
                    # Not before: until now a predecessor was writing there.
                    loop.call_soon(functools.partial(attach, handles.state))
                loop.call_soon(transport.start)
                if door is not None:
                    loop.call_soon(door.open)
            case "stats":
                pipe.send_stats()
            case "mirror":
                mirror.aim(order.path)
            case "stop":
                transport.stop()

    obey(orders, on_order=on_order, on_stop=transport.stop)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: transport.stop())
    tell_ready(engine, (time.perf_counter() - started) * 1e3, pipe.send)
    # What is loaded stays; without this, every full collection looks at all of it again.
    gc.collect()
    gc.freeze()
    loop.run()
    mirror.close()
    pipe.send_stats()
    pipe.close()
    return ExitStatus.OK


def _transport(
    spec: WorkerSpec,
    engine: Engine,
    slot: LiveSlot,
    pipe: EventPipe,
    loop: Loop,
    door: Door | None,
) -> Transport:
    if spec.broker is None or not spec.client_id:
        raise InvalidInput("a live worker needs a broker and a client id", code="spec_invalid")

    def on_left() -> None:
        if door is not None:
            door.close()
        loop.stop()

    return Transport(
        loop,
        spec.broker,
        spec.client_id,
        engine.input_filters,
        stale_filters=spec.stale_filters,
        slot=slot,
        on_connected=lambda present: pipe.send(WorkerConnected(session_present=present)),
        on_disconnected=lambda text: pipe.send(WorkerDisconnected(text=text)),
        on_rival=lambda text: pipe.send(WorkerRival(text=text)),
        on_left=on_left,
        max_packet_bytes=max(MAX_PACKET_BYTES, engine.manifest.input.max_bytes + MAX_HEAD_BYTES),
        # What the queue has no room for stays with the broker, if it can be told so.
        max_in_flight=min(MAX_IN_FLIGHT, engine.manifest.runtime.max_queue),
    )


def _door(
    spec: WorkerSpec, engine: Engine, counters: Counters, guard: RunGuard, loop: Loop
) -> Door:
    answers = DoorAnswers(
        engine.manifest,
        engine.opened.session,
        version=spec.version,
        digest=spec.digest,
        counters=counters,
        guard=guard,
    )
    return Door(spec.door_path, answers.hello, answers.answer, loop)
