"""A shadow at work: hears what a live worker was asked and answered, and compares its own answers.

It publishes nothing and owes nobody anything: what is too much for its share of the processor
waits in its socket, and what does not fit in there the live worker leaves out and counts. Must
never hold up the live worker, whose sends do not wait for it.
"""

import contextlib
import logging
import os
import select
import socket
import time
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from edge_agent.contract.messages import ShadowHealth, SlotHealth
from edge_agent.contract.routes import request_of
from edge_agent.contract.state import SlotConfig
from edge_agent.errors import ContractError, StorageError
from edge_agent.runtime.alignment import Alignment
from edge_agent.runtime.comparison import Comparison, Outcome
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.cpu_budget import CpuBudget
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.ledger import count_scores
from edge_agent.runtime.mirrored import Mirrored, MirrorPacket, arrays_of, decode_packet
from edge_agent.runtime.protocol import WorkerSpec
from edge_agent.runtime.scores import ScoreCounts
from edge_agent.runtime.socket_path import short_address

HEARD: Final = "heard"
SHADOW_CONFIG: Final = SlotConfig(
    input_topic=f"{HEARD}/#", output_topic="never/published", uplink="none"
)
"""A shadow takes whatever topic its slot took, with `HEARD` before it, and publishes on none."""

UNREAD: Final = "reply_refused"
"""An error that says nothing about the model: a message was refused for where its answer was
wanted."""

OUT_OF_TIME: Final = "run_timeout"
"""The shadow's own run took too long. At the lowest priority that says nothing about the model."""

MOST_PACKET_BYTES: Final = 4 * 2**20
LONGEST_REST_S: Final = 1.0
_log = logging.getLogger("shoal.worker.shadow")


class ShadowSlot:
    """Compares one module with what a slot answers. `run` is for one thread; `stop` for any.

    Args:
        engine: the loaded module; its config is `SHADOW_CONFIG`.
        counters: what is counted about its own answers.
        spec: of this worker.

    Attributes:
        module: its name.
    """

    def __init__(self, engine: Engine, counters: Counters, spec: WorkerSpec) -> None:
        self._engine = engine
        # Where an answer is wanted does not matter: there is none.
        engine.takes_addresses = False
        self._counters = counters
        counters.watch(engine)
        counters.scores = ScoreCounts.of(engine.manifest)
        self._spec = spec
        self._tolerance = engine.manifest.health.tolerance
        self.module = engine.manifest.name
        window = engine.manifest.input.window
        self._alignment = None if window is None else Alignment(window.size, window.step)
        self._keeps_rows = window is not None or any(
            tensor.source == "state" for tensor in engine.manifest.tensors
        )
        self._comparison = self._compare_with(0, ())
        self._compared_digest = ""
        self._speaker = ""
        self._next = -1
        self._shed: dict[str, int] = {}
        self._shed_before: dict[str, int] = {}
        self._cpu_share = 0.0
        self._is_stopping = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_write.setblocking(False)

    def stop(self) -> None:
        """Ask `run` to end soon. Any thread, and signal handlers."""
        self._is_stopping = True
        with contextlib.suppress(OSError):  # full: it is awake
            self._wake_write.send(b"\0")

    def close(self) -> None:
        """Give back what `stop` wakes it with; after `run`."""
        self._wake_read.close()
        self._wake_write.close()

    def listen(self) -> socket.socket:
        """Make the socket; a dead one in its place is taken away.

        Raises:
            StorageError: it cannot be made.
        """
        path = self._spec.mirror_path
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            Path(path).unlink(missing_ok=True)
            with short_address(path) as address:
                ear.bind(address)
            Path(path).chmod(0o600)
        except OSError as error:
            ear.close()
            raise StorageError(
                f"a shadow cannot listen on {path}: {error.strerror}",
                hint="look at the state directory's disk and permissions",
                code="shadow_deaf",
            ) from error
        return ear

    def run(self, ear: socket.socket) -> None:
        """Compare until `stop`; closes the socket and takes it away.

        Args:
            ear: as of `listen`.
        """
        inode = Path(self._spec.mirror_path).stat().st_ino
        budget = CpuBudget(self._spec.cpu_share, cpu_s=time.process_time(), now=time.monotonic())
        try:
            while not self._is_stopping:
                readable, _, _ = select.select([ear, self._wake_read], [], [], LONGEST_REST_S)
                if ear in readable:
                    self.take(ear.recv(MOST_PACKET_BYTES))
                cpu_s, now = time.process_time(), time.monotonic()
                self._cpu_share = budget.used_share(cpu_s=cpu_s, now=now)
                rest_s = budget.rest_s(cpu_s=cpu_s, now=now)
                if rest_s > 0:
                    select.select([self._wake_read], [], [], min(rest_s, LONGEST_REST_S))
        finally:
            ear.close()
            with contextlib.suppress(OSError):
                if Path(self._spec.mirror_path).stat().st_ino == inode:
                    Path(self._spec.mirror_path).unlink()

    def take(self, datagram: bytes) -> None:
        """Answer and compare what one datagram holds; never raises."""
        try:
            packet, messages = decode_packet(datagram)
        except ContractError as error:
            _log.warning("mirror_ignored reason=%s", error.text)
            return
        self._attend(packet)
        for message in messages:
            try:
                self._compare(message)
            except ContractError as error:
                _log.warning("mirror_ignored reason=%s", error.text)
            except Exception:  # noqa: BLE001 -- a fault of ours in one message must not end it
                self._counters.fail("internal")
                _log.exception("message_failed topic=%r", message.topic[:200])

    def health(self, own: SlotHealth) -> SlotHealth:
        """What is reported: its own counters, and the comparison. Any thread."""
        notes = own.notes
        if self._compared_digest == self._spec.digest:
            notes = (*notes, f"slot {self._spec.shadows} runs this same version by now")
        return replace(own, shadow=self.compared(), notes=notes)

    def compared(self) -> ShadowHealth:
        """How it compares so far. Any thread."""
        shed = dict(self._shed_before)
        for reason, count in self._shed.items():
            shed[reason] = shed.get(reason, 0) + count
        return self._comparison.health(shed=shed, cpu_share=self._cpu_share)

    def _compare_with(self, version: int, names: tuple[str, ...]) -> Comparison:
        return Comparison(
            of=self._spec.shadows,
            version=version,
            names=names,
            outputs=self._engine.manifest.model.outputs,
            tolerance=self._tolerance,
        )

    def _attend(self, packet: MirrorPacket) -> None:
        """Take note of who speaks, and of what was left out."""
        if packet.speaker != self._speaker:
            # Another worker, or the same one that had lost us: rows in between are missing.
            if packet.digest != self._compared_digest or packet.version != self._comparison.version:
                self._comparison = self._compare_with(packet.version, packet.names)
                self._compared_digest = packet.digest
                self._shed_before = {}
            else:
                for reason, count in self._shed.items():
                    self._shed_before[reason] = self._shed_before.get(reason, 0) + count
            self._speaker, self._next = packet.speaker, -1
        self._shed = packet.shed
        if packet.messages and packet.first != self._next:
            if self._keeps_rows:
                self._engine.forget()
            if self._alignment is not None:
                self._alignment.forget()
        if packet.messages:
            self._next = packet.first + len(packet.messages)

    def _compare(self, message: Mirrored) -> None:
        counters = self._counters
        counters.messages_in += 1
        live = Outcome(arrays_of(message), message.code)
        if message.code == UNREAD:
            self._comparison.leave_out(message.code)
            return
        if self._alignment is not None and not self._alignment.takes(
            message.topic, is_window_full=live.runs is not None
        ):
            self._comparison.add(live, Outcome())
            return
        request = request_of(message.topic)
        topic = f"{HEARD}/{request[0] if request is not None else message.topic}"
        answer = self._engine.answer(
            topic, message.payload, message.received_s, content_type=message.content_type
        )
        if answer is None:
            self._comparison.add(live, Outcome())
            return
        if answer.ok:
            counters.messages_out += 1
            counters.run.record(answer.run_us)
            counters.total.record(answer.total_us)
            if counters.scores is not None:
                count_scores(counters.scores, (answer,))
            self._comparison.add(live, Outcome(answer.runs))
        else:
            counters.fail(answer.code, answer.text)
            if answer.code == OUT_OF_TIME and not message.code:
                self._comparison.leave_out(OUT_OF_TIME)
            else:
                self._comparison.add(live, Outcome(None, answer.code))


def step_back() -> None:
    """Give this process the lowest priority there is, from now on."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (OSError, AttributeError):
        with contextlib.suppress(OSError):
            os.nice(19)
