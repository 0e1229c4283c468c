"""A slot at work: every message through the engine, counted, and its answer handed back.

Knows neither MQTT nor the pipe: it is given both as functions.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from msgspec import Raw

from edge_agent.contract.wire import MAX_ROW_BYTES
from edge_agent.errors import ContractError
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.message import Outgoing
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.protocol import WorkerUplink
from edge_agent.runtime.uplink import UplinkRule

_log = logging.getLogger("shoal.worker")
_now: Final = time.time


class LiveSlot:
    """Answers the messages of one slot.

    Args:
        engine: the loaded module.
        counters: what is counted.
        offer_uplink: takes a result for the cloud, or says that there is no room.
        mirror: hears every message that was answered, for a shadow; None if none can come.
    """

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        offer_uplink: Callable[[WorkerUplink], bool],
        mirror: Mirror | None = None,
    ) -> None:
        self._mirror = mirror
        self._answer = engine.answer
        self._counters = counters
        self._offer_uplink = offer_uplink
        self._rule = UplinkRule(engine.uplink) if engine.uplink != "none" else None
        self._windowed = engine if engine.manifest.input.window is not None else None
        self._deadline_s = engine.manifest.runtime.deadline_ms / 1e3

    def handle(self, topic: str, payload: bytes, received_s: float) -> Outgoing | None:
        """Answer one message; never raises.

        Args:
            topic: of the message.
            payload: of the message.
            received_s: when it was there to be read, seconds since 1970.

        Returns:
            What to publish, or None if nothing.
        """
        counters = self._counters
        counters.messages_in += 1
        if self._deadline_s and _now() - received_s > self._deadline_s:
            counters.drop("deadline")
            return None
        try:
            answer = self._answer(topic, payload, received_s)
        except ContractError as error:
            # Without an output topic there is nowhere to publish an error either.
            counters.drop(error.code)
            _log.warning("message_dropped code=%s topic=%r", error.code, topic[:200])
            return None
        except Exception:  # noqa: BLE001 -- a fault of ours in one message must not end the slot
            counters.fail("internal")
            _log.exception("message_failed topic=%r bytes=%d", topic[:200], len(payload))
            return None
        if self._windowed is not None and (forgotten := self._windowed.forgotten_windows):
            counters.dropped["window_forgotten"] = forgotten
        if self._mirror is not None and self._mirror.is_on:
            code = answer.code if answer is not None else ""
            runs = answer.runs if answer is not None and answer.ok else None
            self._mirror.note(topic, payload, "", received_s, code=code, runs=runs)
        if answer is None:
            return None
        if answer.ok:
            counters.messages_out += 1
            counters.run.record(answer.run_us)
            if self._rule is not None and self._rule.wants(topic, answer.first):
                self._send_home(answer.payload, received_s)
        else:
            counters.fail(answer.code)
        counters.total.record((_now() - received_s) * 1e6)
        return Outgoing(answer.topic, answer.payload)

    def _send_home(self, payload: bytes, received_s: float) -> None:
        if len(payload) > MAX_ROW_BYTES:
            self._counters.drop("uplink_too_large")
        elif not self._offer_uplink(WorkerUplink(time=received_s, result=Raw(payload))):
            self._counters.drop("uplink_full")
