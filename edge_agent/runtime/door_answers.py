"""Questions of the local HTTP server, answered: tensors in, the model's outputs back.

They go past the module's fields, windows and states, straight to the model, one at a time. A bad
question never makes it raise.
"""

import logging
import time
from typing import Final

from edge_agent.contract.datatypes import DATATYPES
from edge_agent.contract.manifest import Manifest
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import MessageError, ModelError, ShoalError
from edge_agent.runtime.binding.tensors import TensorInputs
from edge_agent.runtime.codecs.oip import OipCodec
from edge_agent.runtime.codecs.oip_response import OipBody, write_response
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.door_wire import DoorAsk, DoorHello, DoorReply, DoorTensor, Outcome
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.run_guard import MOST_DEATHS, RunGuard
from edge_agent.runtime.session import ModelSession

_DOOR: Final = "http"
"""What stands for the topic of a question, where the guard asks for one."""

_log: Final = logging.getLogger("shoal.worker.door")


class DoorAnswers:
    """Answers from one loaded model.

    Args:
        manifest: of the module; must have passed `check_fit`.
        session: with its model.
        version: of the module.
        digest: of the manifest.
        counters: of the slot: a question is counted like a message.
        guard: notes what is run, and knows what must not be; None for nobody.
    """

    def __init__(
        self,
        manifest: Manifest,
        session: ModelSession,
        *,
        version: int,
        digest: str,
        counters: Counters,
        guard: RunGuard | None = None,
    ) -> None:
        self.hello = DoorHello(
            module=manifest.name,
            version=version,
            digest=digest,
            max_bytes=manifest.input.max_bytes,
            inputs=tuple(_tensor(spec) for spec in manifest.model.inputs),
            outputs=tuple(_tensor(spec) for spec in manifest.model.outputs),
        )
        self._version = str(version)
        self._session = session
        self._codec = OipCodec(manifest)
        self._inputs = TensorInputs(manifest)
        self._outputs = [spec.name for spec in manifest.model.outputs]
        self._counters = counters
        self._guard = guard

    def answer(self, ask: DoorAsk, body: bytes) -> tuple[DoorReply, bytes]:
        """Answer one question, and count it; never raises."""
        began = time.perf_counter()
        counters = self._counters
        counters.messages_in += 1
        if time.monotonic() > ask.expires_s:
            counters.drop("deadline")
            reply = DoorReply(outcome="late", code="deadline", text="it waited for too long")
            return reply, b""
        reply, answer = self._answer(ask, body)
        if reply.outcome == "ok":
            counters.messages_out += 1
        else:
            counters.fail(reply.code, reply.text)
        counters.total.record((time.perf_counter() - began) * 1e6)
        return reply, answer

    def _answer(self, ask: DoorAsk, body: bytes) -> tuple[DoorReply, bytes]:
        try:
            answer = self._guarded(ask, body)
        except MessageError as error:
            return _refusal("invalid", error)
        except ModelError as error:
            return _refusal("model", error)
        except MemoryError:
            short = ModelError(
                "not enough memory for this request",
                code="out_of_memory",
                hint="send less at once, or raise runtime.memory_mb of the module",
            )
            return _refusal("model", short)
        except Exception:  # noqa: BLE001 -- a fault of ours in one request must not end the slot
            _log.exception("door_request_failed bytes=%d", len(body))
            return _refusal(
                "model",
                ModelError(
                    "internal error",
                    code="internal",
                    hint="look at the agent's log, and report it with what `edge-agent "
                    "bundle` writes",
                ),
            )
        return DoorReply(outcome="ok", json_bytes=answer.json_bytes), answer.body

    def _guarded(self, ask: DoorAsk, body: bytes) -> OipBody:
        guard = self._guard
        if guard is None:
            return self._run(ask, body)
        question = Incoming(topic=_DOOR, payload=body, received_s=time.time())
        if guard.is_poison(question):
            raise ModelError(
                f"{MOST_DEATHS} processes ended while they ran this request; it is not run again",
                code="poison",
                hint="another version of the model may take it",
            )
        guard.begin((question,))
        try:
            return self._run(ask, body)
        finally:
            guard.end()

    def _run(self, ask: DoorAsk, body: bytes) -> OipBody:
        request = self._codec.read(body, ask.json_bytes)
        feed, rows = self._inputs.feed(request)
        # Only what is asked for is computed.
        names = [name for name, _ in request.outputs] or self._outputs
        began = time.perf_counter()
        values = self._session.run(names, feed)
        self._counters.run.record((time.perf_counter() - began) * 1e6)
        self._counters.batches.record(rows)
        outputs = dict(zip(names, values, strict=True))
        scores = self._counters.scores
        if scores is not None and scores.output in outputs:
            scores.add_array(outputs[scores.output])
        return write_response(ask.name, self._version, request, outputs)


def _tensor(spec: TensorSpec) -> DoorTensor:
    return DoorTensor(spec.name, DATATYPES[spec.dtype], spec.shape)


def _refusal(outcome: Outcome, error: ShoalError) -> tuple[DoorReply, bytes]:
    text = f"{error.text} ({error.hint})" if error.hint else error.text
    return DoorReply(outcome=outcome, code=error.code, text=text[:2000]), b""
