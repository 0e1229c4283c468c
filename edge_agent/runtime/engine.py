"""The data plane without a transport: payload bytes in, result bytes out.

The worker, the golden check, `edge-agent infer` and `shoal module check` all answer through this
one class, so that what was proved is what runs. It never touches network, disk or settings, and
a bad message never makes it raise.
"""

import contextlib
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import UNSET, Raw, Struct, UnsetType

from edge_agent.contract.fit import check_fit
from edge_agent.contract.manifest import Manifest, read_manifest
from edge_agent.contract.results import (
    InferenceError,
    InferenceFault,
    InferenceResult,
    StageTimes,
)
from edge_agent.contract.routes import ERROR_SUFFIX, input_filter
from edge_agent.contract.state import SlotConfig
from edge_agent.contract.topics import captures, check_data_topic, expand_output
from edge_agent.errors import ContractError, MessageError, ModelError
from edge_agent.runtime.binding.binding import Binding
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.codecs.codec import codec_of
from edge_agent.runtime.opening import Opened, open_session
from edge_agent.runtime.outputs import output_json, output_lists_json
from edge_agent.runtime.protocol import RunsOn
from edge_agent.runtime.session import Array, Feed
from edge_agent.runtime.verify import check_config, check_digest_of

_MAX_ROUTES: Final = 4096
"""Source topics whose output topics are remembered."""

_MAX_TEXT: Final = 1000
"""Characters of an error that is published."""

_encode: Final = msgspec.json.Encoder().encode
_now: Final = time.perf_counter


class Answer(Struct, frozen=True, gc=False):
    """What is to be published for one message.

    Attributes:
        topic: where to publish: the output topic, or the error topic beside it.
        payload: an encoded `InferenceResult`, or an `InferenceError` if not `ok`.
        ok: whether the model answered.
        code: why it did not; empty if it did.
        outputs: the `outputs` of the result, as JSON; empty if not `ok`.
        first: the model's first output, of the last run; None if not `ok`.
        runs: the outputs of each run, in the manifest's order, for a shadow; empty if not `ok`.
        decode_us: microseconds for codec and binding.
        run_us: microseconds in the model.
        encode_us: microseconds for outputs and result.
    """

    topic: str
    payload: bytes
    ok: bool
    code: str = ""
    outputs: bytes = b""
    first: Array | None = None
    runs: Sequence[Sequence[Array]] = ()
    decode_us: float = 0.0
    run_us: float = 0.0
    encode_us: float = 0.0

    @property
    def total_us(self) -> float:
        """Microseconds for all of it."""
        return self.decode_us + self.run_us + self.encode_us


class Engine:
    """One loaded module that answers messages. Not thread-safe.

    Use `Engine.load`; the constructor takes parts that have been verified.

    Attributes:
        manifest: of the module.
        digest: of the manifest.
        input_filter: what to subscribe to, prefix included.
        topic_prefix: that `input_filter` begins with.
        uplink: the rule for results that go to the cloud.
        opened: the loaded model, and what is known about it on this machine.
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
        self.input_filter = input_filter(manifest, config, device=device, prefix=topic_prefix)
        self.uplink = config.uplink or manifest.output.uplink
        self.topic_prefix = topic_prefix
        self._template = topic_prefix + (config.output_topic or manifest.output.topic)
        self._device = device
        self._slot = slot
        self._version = version
        self._session = opened.session
        self._codec = codec_of(manifest)
        self._decode = self._codec.decode
        self._binding = Binding(manifest)
        self._output_specs = manifest.model.outputs
        self._names = [spec.name for spec in manifest.model.outputs]
        self._strips = [spec.shape[:1] in ((-1,), (1,)) for spec in manifest.model.outputs]
        self._routes: dict[str, str] = {}

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
        """Run the model once on zeros, so that the first message does not pay for first use.

        A model may refuse zeros; that says nothing about real messages and is ignored.
        """
        feed: Feed = {}
        for spec in self.manifest.model.inputs:
            shape = tuple(1 if size < 0 else size for size in spec.shape)
            if spec.dtype == "string":
                feed[spec.name] = np.full(shape, "", dtype=object)
            else:
                feed[spec.name] = np.zeros(shape, dtype=spec.dtype)
        with contextlib.suppress(ModelError):
            self._session.run(self._names, feed)

    @property
    def providers(self) -> tuple[str, ...]:
        """What the model runs on now, the preferred first."""
        return self._session.providers

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it was asked for and why, one sentence each."""
        return (*self.opened.notes, *self._session.notes)

    def forget(self) -> None:
        """Drop all rows that wait for their window to fill."""
        self._binding.forget()

    def sample_topic(self) -> str:
        """A topic that `input_filter` matches, for messages that come from nowhere."""
        levels = self.input_filter.split("/")
        return "/".join("sample" if level in ("+", "#") else level for level in levels)

    @property
    def forgotten_windows(self) -> int:
        """Source topics whose windows were dropped to stay within bounds."""
        return self._binding.forgotten_windows

    def answer(self, topic: str, payload: bytes, received_s: float) -> Answer | None:
        """Answer one message.

        Args:
            topic: of the message; must match `input_filter`.
            payload: of the message.
            received_s: when it was read, seconds since 1970; copied to the result.

        Returns:
            The answer, good or bad; None if the message went into a window that is not full yet.

        Raises:
            ContractError: the topic does not match, or makes an impossible output topic; there
                is no topic that an error could be published on.
        """
        output_topic = self._routes.get(topic) or self._route(topic)
        started = _now()
        value: object = None
        try:
            value = self._decode(payload)
            bound = self._binding.bind(value, topic)
            if bound is None:
                return None
            decoded = _now()
            runs = [self._run(feed, adds_rows=bound.adds_rows) for feed in bound.runs]
            ran = _now()
            if bound.is_list:
                outputs = output_lists_json(self._names, runs)
            else:
                outputs = output_json(self._names, runs[0])
        except (MessageError, ModelError) as error:
            return self._fault(topic, output_topic, value, received_s, error)
        except MemoryError:
            short = ModelError("not enough memory for this message", code="out_of_memory")
            return self._fault(topic, output_topic, value, received_s, short)
        message_id, message_time = self._binding.identify(value)
        decode_us = (decoded - started) * 1e6
        run_us = (ran - decoded) * 1e6
        encode_us = (_now() - ran) * 1e6
        result = _encode(
            InferenceResult(
                module=self.manifest.name,
                version=self._version,
                digest=self.digest,
                device=self._device,
                slot=self._slot,
                topic=topic,
                received=received_s,
                times_us=StageTimes(round(decode_us, 1), round(run_us, 1), round(encode_us, 1)),
                outputs=Raw(outputs),
                id=message_id,
                input_time=message_time,
                rows=bound.rows,
            )
        )
        first = runs[-1][0]
        return Answer(
            output_topic, result, True, "", outputs, first, runs, decode_us, run_us, encode_us
        )

    def _run(self, feed: Feed, *, adds_rows: bool) -> list[Array]:
        values = self._session.run(self._names, feed)
        if not adds_rows:
            return values
        # The dimension that the binding added is taken away again.
        return [
            value[0, ...] if strips and value.shape[0] == 1 else value
            for value, strips in zip(values, self._strips, strict=True)
        ]

    def _fault(
        self,
        topic: str,
        output_topic: str,
        value: object,
        received_s: float,
        error: MessageError | ModelError,
    ) -> Answer:
        message_id, _ = self._binding.identify(value)
        field: str | UnsetType = error.field if isinstance(error, FieldFault) else UNSET
        text = f"{error.text} ({error.hint})" if error.hint else error.text
        payload = _encode(
            InferenceError(
                module=self.manifest.name,
                version=self._version,
                digest=self.digest,
                device=self._device,
                slot=self._slot,
                topic=topic,
                received=received_s,
                error=InferenceFault(code=error.code, text=text[:_MAX_TEXT], field=field),
                id=message_id,
            )
        )
        return Answer(output_topic + ERROR_SUFFIX, payload, False, error.code)

    def _route(self, topic: str) -> str:
        caught = captures(self.input_filter, topic)
        if caught is None:
            raise ContractError(
                f"topic {topic!r} does not match the input {self.input_filter!r}",
                code="topic_mismatch",
            )
        output_topic = expand_output(self._template, caught, self._device)
        check_data_topic(output_topic + ERROR_SUFFIX)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[topic] = output_topic
        return output_topic
