"""From messages to answers: each is read by itself, those that can share a run, all are answered.

A bad message never makes it raise, and never disturbs the others.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from edge_agent.contract.results import InferenceResult
from edge_agent.errors import ContractError, MessageError, ModelError, ShoalError
from edge_agent.runtime.answer_writer import AnswerWriter
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.binding.binding import Binding
from edge_agent.runtime.codecs.codec import Codecs
from edge_agent.runtime.job import Job
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.request import (
    CORRELATION,
    REPLY_TO,
    correlation_of,
    correlation_text,
    reply_of,
    seconds_of,
)
from edge_agent.runtime.routing import Router
from edge_agent.runtime.runs import Runs

_log = logging.getLogger("shoal.worker")
_now: Final = time.perf_counter
_encode: Final = msgspec.json.Encoder().encode


class Pipeline:
    """The way of messages through one module.

    Args:
        codecs: read payloads.
        binding: makes what the model is asked.
        runs: ask the model.
        router: says where answers go.
        writer: makes their payloads.
        pays: whether a run on many rows is worth more than as many runs.

    Attributes:
        takes_addresses: whether a message may say where its answer is wanted.
    """

    def __init__(
        self,
        *,
        codecs: Codecs,
        binding: Binding,
        runs: Runs,
        router: Router,
        writer: AnswerWriter,
        pays: bool,
    ) -> None:
        self.takes_addresses = True
        self._codecs = codecs
        self._binding = binding
        self._runs = runs
        self._router = router
        self._writer = writer
        self._pays = pays

    @property
    def most_rows(self) -> int:
        """Rows of several messages that may share a run; 1 where each has its own."""
        return self._runs.most_rows if self._pays else 1

    def answer_all(self, messages: Sequence[Incoming]) -> list[Answer | None]:
        """Answer messages that came one behind the other; those that can, share a run.

        Args:
            messages: in their order.

        Returns:
            An answer each, as from `answer`; one without a topic where `answer` would raise.
        """
        found: list[Job | Answer] = []
        group: list[Job] = []
        sources: set[str] = set()
        rows = 0
        most_rows = self.most_rows
        has_state = self._binding.has_state
        own = self._codecs.own
        for message in messages:
            try:
                route = self._router.route(message.topic)
            except ContractError as error:
                found.append(_unroutable(error))
                continue
            job = Job(message, route, own)
            found.append(job)
            if has_state:
                if route.source in sources:
                    # It begins with the state that the one before it leaves.
                    self._settle(group)
                    group, rows = [], 0
                    sources.clear()
                sources.add(route.source)
            self._read(job)
            bound = job.bound
            if bound is None:
                continue
            if rows + bound.rows > most_rows or not bound.may_join:
                self._settle(group)
                group, rows = [], 0
            group.append(job)
            rows += bound.rows
            if not bound.may_join:
                self._settle(group)
                group, rows = [], 0
        self._settle(group)
        return [item.answer if type(item) is Job else item for item in found]  # type: ignore[misc]

    def refuse(self, message: Incoming, error: ShoalError) -> Answer:
        """The answer to a message that is not even read.

        Returns:
            An error; one without a topic if there is none that it could go to.
        """
        try:
            job = Job(message, self._router.route(message.topic), self._codecs.own)
        except ContractError as unroutable:
            return _unroutable(unroutable)
        try:
            self._read_properties(job)
        except MessageError as refused:
            error = refused
        return self._failure(job, error)

    def _read(self, job: Job) -> None:
        """From bytes to what the model is asked, or to an error."""
        began = _now()
        message = job.message
        try:
            if message.content_type:
                job.codec = self._codecs.of(message.content_type)
            if message.reply_to or message.correlation:
                self._read_properties(job)
            value = job.value = job.codec.decode(message.payload)
            if type(value) is dict and self.takes_addresses:
                if CORRELATION in value and job.correlation is UNSET:
                    job.correlation = correlation_of(value)
                if REPLY_TO in value and not job.reply_to:
                    job.reply_to = self._router.checked_reply(reply_of(value))
            job.bound = self._binding.bind(
                value, job.route.source, message.payload, is_repeat=message.is_repeat
            )
        except Exception as error:  # noqa: BLE001 -- a fault of ours is one message's, too
            job.answer = self._failure(job, _told(error))
        job.decode_us = (_now() - began) * 1e6

    def _read_properties(self, job: Job) -> None:
        message = job.message
        if message.correlation:
            job.correlation = correlation_text(message.correlation)
        if message.reply_to and self.takes_addresses:
            job.reply_to = self._router.checked_reply(message.reply_to)

    def _settle(self, group: Sequence[Job]) -> None:
        """Run the model for some messages at once, and write their answers."""
        if not group:
            return
        began = _now()
        if len(group) == 1 or not self._share_a_run(group):
            for job in group:
                self._ask(job)
        ran = _now()
        outputs: list[bytes] = []
        decode_us = 0.0
        for job in group:
            outputs.append(self._outputs(job))
            decode_us += job.decode_us
        count = len(group)
        times_us = (decode_us / count, (ran - began) * 1e6, (_now() - ran) * 1e6 / count)
        times = self._writer.times(*times_us)
        for job, text in zip(group, outputs, strict=True):
            if job.answer is None:
                job.answer = self._result(job, text, times, times_us)

    def _share_a_run(self, group: Sequence[Job]) -> bool:
        shares = self._runs.together([job.bound for job in group if job.bound is not None])
        if shares is None:
            return False
        for job, share in zip(group, shares, strict=True):
            job.shares = share
        return True

    def _ask(self, job: Job) -> None:
        if job.bound is None:
            return
        try:
            job.shares = self._runs.alone(job.bound)
        except Exception as error:  # noqa: BLE001 -- see above
            job.answer = self._failure(job, _told(error))

    def _outputs(self, job: Job) -> bytes:
        """A message's outputs as JSON; empty if it has none, or is answered in another format."""
        if job.shares is None or job.codec.answers is not None:
            return b""
        try:
            return job.shares.json()
        except Exception as error:  # noqa: BLE001 -- see above
            job.answer = self._failure(job, _told(error))
        return b""

    def _result(
        self, job: Job, outputs: bytes, times: bytes, times_us: tuple[float, float, float]
    ) -> Answer:
        job.id, job.input_time = self._binding.identify(job.value)
        rows = job.bound.rows if job.bound is not None else 0
        codec = job.codec
        result: InferenceResult | None = None
        if codec.answers is None or job.shares is None:
            payload = self._writer.json_result(job, times, outputs, rows)
        else:
            result = self._writer.result(job, times_us, rows)
            try:
                payload = codec.answers.encode_result(result, job.shares.mapping(), job.value)
            except Exception as error:  # noqa: BLE001 -- see above
                return self._failure(job, _told(error))
        return Answer(
            job.reply_to or job.route.result,
            payload,
            True,
            "",
            "",
            codec.content_type,
            job.message.correlation,
            job.shares,
            rows,
            0.0 if job.input_time is UNSET else seconds_of(job.input_time),
            *times_us,
            result,
        )

    def _failure(self, job: Job, error: ShoalError) -> Answer:
        job.id, _ = self._binding.identify(job.value)
        wanted = self._writer.error(job, error)
        answers = job.codec.answers
        payload = _encode(wanted) if answers is None else answers.encode_error(wanted, job.value)
        return Answer(
            job.reply_to or job.route.error,
            payload,
            False,
            error.code,
            wanted.error.text,
            job.codec.content_type,
            job.message.correlation,
        )


def _unroutable(error: ContractError) -> Answer:
    return Answer("", b"", False, error.code, error.text)


def _told(error: Exception) -> ShoalError:
    """What an error is called in an answer."""
    if isinstance(error, ShoalError):
        return error
    if isinstance(error, MemoryError):
        return ModelError(
            "not enough memory for this message",
            code="out_of_memory",
            hint="send fewer rows a message, or raise runtime.memory_mb of the module",
        )
    _log.error("message_failed", exc_info=error)
    return MessageError(
        f"this message met a fault of the worker: {type(error).__name__}",
        code="internal",
        hint="its log has the details; please report it",
    )
