"""The data plane without a transport: messages in, answers out.

The worker, the golden check, `edge-agent infer` and `shoal module check` all answer through this
one class, so that what was proved is what runs. It never touches network, disk or settings, and
a bad message never makes it raise.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from edge_agent.contract.fit import check_fit
from edge_agent.contract.manifest import Manifest, read_manifest
from edge_agent.contract.results import InferenceResult
from edge_agent.contract.routes import input_filters, reply_filters
from edge_agent.contract.state import SlotConfig
from edge_agent.errors import ContractError, MessageError, ModelError, ShoalError
from edge_agent.runtime.answer_writer import AnswerWriter
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.binding.binding import Binding
from edge_agent.runtime.codecs.codec import Codecs
from edge_agent.runtime.job import Job
from edge_agent.runtime.measurement import batch_pays
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.opening import Opened, open_session
from edge_agent.runtime.protocol import RunsOn
from edge_agent.runtime.request import (
    CORRELATION,
    REPLY_TO,
    correlation_of,
    correlation_text,
    reply_of,
    seconds_of,
)
from edge_agent.runtime.routing import Router
from edge_agent.runtime.runs import RunCounter, Runs
from edge_agent.runtime.verify import check_config, check_digest_of

_log = logging.getLogger("shoal.worker")
_now: Final = time.perf_counter
_encode: Final = msgspec.json.Encoder().encode


class Engine:
    """One loaded module that answers messages. Not thread-safe.

    Use `Engine.load`; the constructor takes parts that have been verified.

    Attributes:
        manifest: of the module.
        digest: of the manifest.
        input_filter: of messages, prefix included.
        input_filters: what to subscribe to: `input_filter`, and the filter of requests.
        topic_prefix: that all of them begin with.
        uplink: the rule for results that go to the cloud.
        opened: the loaded model, and what is known about it on this machine.
        takes_addresses: whether a message may say where its answer is wanted.
    """

    def __init__(
        self,
        manifest: Manifest,
        digest: str,
        opened: Opened,
        *,
        device: str,
        slot: str,
        version: int,
        config: SlotConfig,
        topic_prefix: str,
    ) -> None:
        self.manifest = manifest
        self.digest = digest
        self.opened = opened
        self.input_filters = input_filters(manifest, config, device=device, prefix=topic_prefix)
        self.input_filter = self.input_filters[0]
        self.uplink = config.uplink or manifest.output.uplink
        self.topic_prefix = topic_prefix
        self.takes_addresses = True
        self._pays = batch_pays(opened.measured)
        self._codecs = Codecs(manifest)
        self._binding = Binding(manifest)
        self._runs = Runs(manifest, opened.session, self._binding)
        self._router = Router(
            self.input_filter,
            topic_prefix + (config.output_topic or manifest.output.topic),
            device=device,
            reply_filters=reply_filters(manifest, device=device, prefix=topic_prefix),
            own_filters=self.input_filters,
        )
        self._writer = AnswerWriter(
            module=manifest.name, version=version, digest=digest, device=device, slot=slot
        )

    @classmethod
    def load(
        cls,
        manifest_bytes: bytes,
        digest: str,
        model: bytes,
        *,
        device: str,
        slot: str,
        version: int = 0,
        config: SlotConfig = SlotConfig(),  # noqa: B008 -- frozen
        topic_prefix: str = "",
        runs_on: RunsOn = RunsOn(),  # noqa: B008 -- frozen
    ) -> "Engine":
        """Verify a module's parts and load its model.

        Args:
            manifest_bytes: canonical manifest.
            digest: what it must hash to.
            model: bytes of the model file; they must hash to what the manifest says.
            device: for topics and results.
            slot: for results.
            version: of the module, for results.
            config: topics and uplink rule that differ from the manifest's.
            topic_prefix: put before input filter and output topic.
            runs_on: what the model is to run on.

        Raises:
            IntegrityError: manifest or model are not the promised bytes.
            ContractError: the manifest, its binding or the config are wrong.
            Unsupported: the model cannot run here.
            ModelError: it did not load.
        """
        check_digest_of("manifest", manifest_bytes, digest)
        manifest = read_manifest(manifest_bytes)
        check_digest_of(manifest.model.blob.path, model, manifest.model.blob.digest)
        check_fit(manifest)
        check_config(manifest, config)
        return cls(
            manifest,
            digest,
            open_session(model, manifest, runs_on),
            device=device,
            slot=slot,
            version=version,
            config=config,
            topic_prefix=topic_prefix,
        )

    def warm_up(self) -> None:
        """Run the model on made-up rows, so that the first message does not pay for first use,
        and find out whether messages can share a run.
        """
        self._runs.warm_up()

    @property
    def providers(self) -> tuple[str, ...]:
        """What the model runs on now, the preferred first."""
        return self.opened.session.providers

    @property
    def threads(self) -> int:
        """Of one run."""
        return self.opened.session.threads

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it was asked for and why, one sentence each."""
        return (*self.opened.notes, *self.opened.session.notes, *self._binding.notes)

    def attach(self, state_fd: int) -> None:
        """Go on with windows and states where another worker of the slot ended.

        Args:
            state_fd: memory of the slot's windows and states; stays the caller's.
        """
        self._binding.attach(state_fd)
        for note in self._binding.notes:
            _log.warning("state_began_empty reason=%s", note)

    def forget(self) -> None:
        """Drop all rows that wait for their window to fill."""
        self._binding.forget()

    def sample_topic(self) -> str:
        """A topic that `input_filter` matches, for messages that come from nowhere."""
        levels = self.input_filter.split("/")
        return "/".join("sample" if level in ("+", "#") else level for level in levels)

    @property
    def losses(self) -> dict[str, int]:
        """Reason to count: what was forgotten to stay within bounds."""
        forgotten = self._binding.forgotten_windows
        return {"window_forgotten": forgotten} if forgotten else {}

    @property
    def most_rows(self) -> int:
        """Rows of several messages that may share a run; 1 where each has its own."""
        return self._runs.most_rows if self._pays else 1

    def count_runs(self, counter: RunCounter) -> None:
        """Have somebody told of each run of the model."""
        self._runs.on_run = counter

    def answer(
        self, topic: str, payload: bytes, received_s: float, *, content_type: str = ""
    ) -> Answer | None:
        """Answer one message.

        Args:
            topic: of the message; must match one of `input_filters`.
            payload: of the message.
            received_s: when it was read, seconds since 1970; copied to the result.
            content_type: of the payload; empty for the module's codec.

        Returns:
            The answer, good or bad; None if the message went into a window that is not full yet.

        Raises:
            ContractError: the topic does not match, or makes an impossible output topic; there
                is no topic that an error could be published on.
        """
        message = Incoming(
            topic=topic, payload=payload, received_s=received_s, content_type=content_type
        )
        answer = self.answer_all((message,))[0]
        if answer is not None and not answer.topic:
            raise ContractError(answer.text, code=answer.code)
        return answer

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
        run_us = (ran - began) * 1e6
        outputs = [self._outputs(job) for job in group]
        decode_us = sum([job.decode_us for job in group]) / len(group)
        encode_us = (_now() - ran) * 1e6 / len(group)
        times_us = (decode_us, run_us, encode_us)
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
        return ModelError("not enough memory for this message", code="out_of_memory")
    _log.error("message_failed", exc_info=error)
    return MessageError(
        f"this message met a fault of the worker: {type(error).__name__}",
        code="internal",
        hint="its log has the details; please report it",
    )
