"""Commands from the cloud: done once, answered once, not begun after their deadline.

A deadline is told by the service's clock. A device whose own clock is not synchronized asks for
the service's time first, and holds the command meanwhile: one that lay with the broker for weeks
is not done by a device that woke up in 1970, and a fresh one is done by a device in 2036.

Called on the link's thread and the main thread, so nothing here waits for anything but one look
into the journal.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from edge_agent.contract.messages import Ack, Command, CommandResult
from edge_agent.contract.wire import decode
from edge_agent.daemon.cloud_time import CloudTime
from edge_agent.errors import ContractError, NotFound, ShoalError, Unavailable
from edge_agent.store.clock import Clock

log: Final = logging.getLogger("edge_agent.daemon")

REMEMBERED: Final = 256
"""Ids of commands that were done: a broker may deliver one twice."""

HOLD_S: Final = 30.0
"""A command that cannot be judged is refused after this."""

MAX_HELD: Final = 16


class Held(Struct, frozen=True):
    """A command that waits for the service's time, and until when: seconds, monotonic."""

    message_id: str
    command: Command
    until: float


class Commands:
    """What the cloud may ask of this device.

    Args:
        device: its name.
        clock: for deadlines, as long as it is synchronized.
        cloud_time: for deadlines, where it is not.
        report: sends the reported state and a health report soon.
        restart: has a slot's worker restarted; raises NotFound.
        retry: has a slot's failed version tried at once; raises NotFound.
    """

    def __init__(
        self,
        device: str,
        *,
        clock: Clock,
        cloud_time: CloudTime,
        report: Callable[[], None],
        restart: Callable[[str], None],
        retry: Callable[[str], None],
    ) -> None:
        self._device = device
        self._clock = clock
        self._cloud_time = cloud_time
        self._report = report
        self._restart = restart
        self._retry = retry
        self._done: deque[str] = deque(maxlen=REMEMBERED)
        self._held: list[Held] = []
        self._lock = threading.Lock()

    def handle(self, message_id: str, payload: bytes) -> CommandResult | None:
        """Do a command, or hold it until it is known whether it is still to be done.

        Args:
            message_id: from its topic.
            payload: a `Command`.

        Returns:
            The answer; None for one that was done before, or is held.
        """
        if message_id in self._done:
            return None
        self._done.append(message_id)
        try:
            command = decode(Command, payload)
            log.info("event=command id=%s name=%s slot=%s", message_id, command.name, command.slot)
        except ShoalError as error:
            return self._answer(error)
        now = self._now()
        if now is not None:
            return self._do(command, now)
        with self._lock:
            is_full = len(self._held) >= MAX_HELD
            if not is_full:
                until = self._clock.monotonic() + HOLD_S
                self._held.append(Held(message_id, command, until))
        if is_full:
            return self._answer(_unknown("too many commands wait for it already"))
        self._cloud_time.ask()
        return None

    def heard(self, ack: Ack) -> bool:
        """Look whether an acknowledgement tells the service's time.

        Returns:
            Whether that is all that it does.
        """
        return self._cloud_time.take(ack)

    def settle(self) -> list[tuple[str, CommandResult]]:
        """Judge what is held, if that is possible by now; ask again if not.

        Returns:
            Id and answer of each command that is done with.
        """
        cloud, at = self._now(), self._clock.monotonic()
        with self._lock:
            ready = [held for held in self._held if cloud is not None or at >= held.until]
            self._held = [held for held in self._held if held not in ready]
            is_waiting = bool(self._held)
        if is_waiting:
            self._cloud_time.ask()
        return [
            (
                held.message_id,
                self._answer(_unknown(f"the service did not tell its own within {HOLD_S:g} s"))
                if cloud is None
                else self._do(held.command, cloud),
            )
            for held in ready
        ]

    def _now(self) -> float | None:
        """The time that deadlines are told by, seconds since 1970; None if nobody here knows."""
        told = self._cloud_time.now()
        if told is None and self._clock.is_synced():
            return self._clock.wall()
        return told

    def _do(self, command: Command, now: float) -> CommandResult:
        try:
            self._run(command, now)
        except ShoalError as error:
            return self._answer(error)
        return self._answer()

    def _run(self, command: Command, now: float) -> None:
        if now > command.deadline:
            raise ContractError(
                f"command expected before its deadline, found it {now - command.deadline:.1f} s "
                "late",
                code="expired",
                hint="send it again; set the device's clock if it comes late each time",
            )
        if command.name != "report" and not command.slot:
            raise NotFound(
                f"command {command.name!r} expected a slot, found none",
                hint="name the slot, as `edge-agent status` lists it",
            )
        match command.name:
            case "report":
                self._report()
            case "restart-slot":
                self._restart(command.slot)
            case "retry-slot":
                self._retry(command.slot)

    def _answer(self, error: ShoalError | None = None) -> CommandResult:
        now = self._clock.moment()
        return CommandResult(
            device=self._device,
            ok=error is None,
            code=error.code if error is not None else "",
            text=str(error) if error is not None else "",
            time=now.time,
            uptime_s=round(now.uptime_s, 3),
            clock_synced=now.clock_synced,
        )


def _unknown(why: str) -> Unavailable:
    return Unavailable(
        f"command expected a clock to judge its deadline by; this device's is not synchronized, "
        f"and {why}",
        hint="run an NTP client on the device, or send the command again",
        code="clock_unknown",
    )
