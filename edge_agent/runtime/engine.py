"""The data plane without a transport: messages in, answers out.

The worker, the golden check, `edge-agent infer` and `shoal module check` all answer through this
one class, so that what was proved is what runs. It never touches network, disk or settings, and
a bad message never makes it raise.
"""

import logging
from collections.abc import Callable, Sequence

from edge_agent.contract.fit import check_fit
from edge_agent.contract.manifest import Manifest, read_manifest
from edge_agent.contract.routes import input_filters, reply_filters
from edge_agent.contract.state import SlotConfig
from edge_agent.errors import ContractError, ShoalError
from edge_agent.runtime.answer_writer import AnswerWriter
from edge_agent.runtime.answers import Answer
from edge_agent.runtime.binding.binding import Binding
from edge_agent.runtime.binding.store import BEGAN_EMPTY
from edge_agent.runtime.codecs.codec import Codecs
from edge_agent.runtime.measurement import batch_pays
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.opening import Opened, open_session
from edge_agent.runtime.pipeline import Pipeline
from edge_agent.runtime.protocol import RunsOn
from edge_agent.runtime.routing import Router
from edge_agent.runtime.run_watch import Running
from edge_agent.runtime.runs import RunCounter, Runs
from edge_agent.runtime.verify import check_config, check_digest_of

_log = logging.getLogger("shoal.worker")


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
        self._codecs = Codecs(manifest)
        self._binding = Binding(manifest)
        self._runs = Runs(manifest, opened.session, self._binding)
        self._pipeline = Pipeline(
            codecs=self._codecs,
            binding=self._binding,
            runs=self._runs,
            router=Router(
                self.input_filter,
                topic_prefix + (config.output_topic or manifest.output.topic),
                device=device,
                reply_filters=reply_filters(manifest, device=device, prefix=topic_prefix),
                own_filters=self.input_filters,
            ),
            writer=AnswerWriter(
                module=manifest.name, version=version, digest=digest, device=device, slot=slot
            ),
            pays=batch_pays(opened.measured),
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

    def attach(self, state_fd: int) -> str:
        """Go on with windows and states where another worker of the slot ended.

        Args:
            state_fd: memory of the slot's windows and states; stays the caller's.

        Returns:
            Why what another version left there is lost, one sentence; empty if nothing is.
        """
        self._binding.attach(state_fd)
        for note in self._binding.notes:
            _log.warning("state_began_empty reason=%s", note)
        return BEGAN_EMPTY if BEGAN_EMPTY in self._binding.notes else ""

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
        return self._pipeline.most_rows

    @property
    def takes_addresses(self) -> bool:
        """Whether a message may say where its answer is wanted."""
        return self._pipeline.takes_addresses

    @takes_addresses.setter
    def takes_addresses(self, takes: bool) -> None:
        self._pipeline.takes_addresses = takes

    def count_runs(self, counter: RunCounter, on_begin: Callable[[], None] | None = None) -> None:
        """Have somebody told of each run of the model, and before each run and each picture."""
        self._runs.on_run = counter
        self._runs.on_begin = on_begin
        if self._codecs.pictures is not None:
            self._codecs.pictures.on_begin = on_begin

    @property
    def watched(self) -> tuple[tuple[str, Running], ...]:
        """What may never come back, by its name: a run of the model, and of what reads pictures."""
        pictures = self._codecs.pictures
        run: tuple[str, Running] = ("a run", self.opened.session)
        return (run,) if pictures is None else (run, ("the decoding of a picture", pictures))

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
        """Answer messages that came one behind the other; see `Pipeline.answer_all`."""
        return self._pipeline.answer_all(messages)

    def refuse(self, message: Incoming, error: ShoalError) -> Answer:
        """The answer to a message that is not even read; see `Pipeline.refuse`."""
        return self._pipeline.refuse(message, error)
