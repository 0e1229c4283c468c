"""Messages from the cloud, each brought to whom it concerns; what is malformed becomes an event.

Called on the link's thread. Nothing that comes from outside may end that thread.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

from edge_agent.contract.messages import Ack, CommandResult, Event
from edge_agent.contract.names import digest_of
from edge_agent.contract.state import DesiredState
from edge_agent.contract.topics import Channel, control, parse
from edge_agent.contract.wire import decode, encode
from edge_agent.daemon.commands import Commands
from edge_agent.errors import ShoalError, StorageError

log: Final = logging.getLogger("edge_agent.daemon")


class Inbox:
    """Takes what arrives on this device's control topics.

    Args:
        device: its name.
        accept: takes a desired state; raises ShoalError for one that is refused.
        acknowledge: takes an acknowledgement of outbox rows.
        commands: does commands.
        publish: publishes the answer to one.
        on_status: takes a status of this device's own topic.
        on_event: told what a person may ask about later.
        report: has the reported state sent again. A service that says what is known, or something
            older, was started again, and its database may have been set back: it would not ask.
    """

    def __init__(
        self,
        device: str,
        *,
        accept: Callable[[bytes], DesiredState | None],
        acknowledge: Callable[[Ack], None],
        commands: Commands,
        publish: Callable[[str, bytes], object],
        on_status: Callable[[bytes], None],
        on_event: Callable[[Event], None],
        report: Callable[[], None],
    ) -> None:
        self._device = device
        self._accept = accept
        self._acknowledge = acknowledge
        self._commands = commands
        self._publish = publish
        self._on_status = on_status
        self._on_event = on_event
        self._report = report
        self._refused = ""
        self._unkept: bytes | None = None
        # Two threads bring wishes; an older one must not be taken, nor kept, after a newer one.
        self._wishing = threading.Lock()

    def take(self, topic: str, payload: bytes) -> None:
        """Handle one message."""
        try:
            found = parse(topic)
            match found.channel:
                case Channel.DESIRED:
                    self._desired(payload)
                case Channel.ACK:
                    self._take_ack(decode(Ack, payload))
                case Channel.COMMAND:
                    answer = self._commands.handle(found.message_id, payload)
                    if answer is not None:
                        self._answer(found.message_id, answer)
                case Channel.STATUS:
                    self._on_status(payload)
                case _:
                    log.warning("event=message_ignored topic=%s", topic)
        except ShoalError as error:
            log.warning(
                "event=message_refused topic=%s code=%s text=%r", topic, error.code, error.text
            )

    def try_again(self) -> None:
        """What could not be done when it came: keep a desired state, judge a command.

        The main thread, every few seconds.
        """
        self._settle_commands()
        with self._wishing:
            if self._unkept is not None:
                self._take_wish(self._unkept)

    def _take_ack(self, ack: Ack) -> None:
        if self._commands.heard(ack):
            self._settle_commands()
        else:
            self._acknowledge(ack)

    def _settle_commands(self) -> None:
        for message_id, answer in self._commands.settle():
            self._answer(message_id, answer)

    def _desired(self, payload: bytes) -> None:
        with self._wishing:
            self._take_wish(payload)

    def _take_wish(self, payload: bytes) -> None:
        self._unkept = None
        if not payload:
            return  # a retained message that was cleared
        try:
            desired = self._accept(payload)
        except StorageError as error:
            self._unkept = payload
            log.error("event=desired_not_kept code=%s text=%r", error.code, error.text)
            return
        except ShoalError as error:
            if error.code == "revision_old":
                self._report()
            # Retained, so it comes again with each connection: one event each is enough.
            if self._refused != digest_of(payload):
                self._refused = digest_of(payload)
                self._on_event(
                    Event(
                        name="desired_refused",
                        level="error",
                        text=str(error),
                        detail={"code": error.code},
                    )
                )
            return
        if desired is None:
            self._report()
        else:
            log.info("event=desired revision=%d slots=%d", desired.revision, len(desired.slots))

    def _answer(self, message_id: str, answer: CommandResult) -> None:
        self._publish(control(self._device, Channel.RESULT, message_id), encode(answer))
