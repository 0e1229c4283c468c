"""Commands from the cloud: done once, answered once, not begun after their deadline.

Called on the link's thread, so nothing here waits for anything but one look into the journal.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from edge_agent.contract.messages import Command, CommandResult
from edge_agent.contract.wire import decode
from edge_agent.errors import ContractError, NotFound, ShoalError
from edge_agent.store.clock import Clock

log: Final = logging.getLogger("edge_agent.daemon")

REMEMBERED: Final = 256
"""Ids of commands that were done: a broker may deliver one twice."""


class Commands:
    """What the cloud may ask of this device.

    Args:
        device: its name.
        clock: for deadlines.
        report: sends the reported state and a health report soon.
        restart: has a slot's worker restarted; raises NotFound.
        retry: has a slot's failed version tried at once; raises NotFound.
    """

    def __init__(
        self,
        device: str,
        *,
        clock: Clock,
        report: Callable[[], None],
        restart: Callable[[str], None],
        retry: Callable[[str], None],
    ) -> None:
        self._device = device
        self._clock = clock
        self._report = report
        self._restart = restart
        self._retry = retry
        self._done: deque[str] = deque(maxlen=REMEMBERED)

    def handle(self, message_id: str, payload: bytes) -> CommandResult | None:
        """Do a command.

        Args:
            message_id: from its topic.
            payload: a `Command`.

        Returns:
            The answer, or None for one that was done before.
        """
        if message_id in self._done:
            return None
        self._done.append(message_id)
        try:
            command = decode(Command, payload)
            log.info("event=command id=%s name=%s slot=%s", message_id, command.name, command.slot)
            self._do(command)
        except ShoalError as error:
            return self._answer(False, error.code, str(error))
        return self._answer(True, "", "")

    def _do(self, command: Command) -> None:
        now = self._clock.wall()
        if now > command.deadline:
            raise ContractError(
                f"command expected before its deadline, found it {now - command.deadline:.1f} s "
                "late by this device's clock",
                code="expired",
            )
        if command.name != "report" and not command.slot:
            raise NotFound(f"command {command.name!r} expected a slot, found none")
        match command.name:
            case "report":
                self._report()
            case "restart-slot":
                self._restart(command.slot)
            case "retry-slot":
                self._retry(command.slot)

    def _answer(self, ok: bool, code: str, text: str) -> CommandResult:
        return CommandResult(
            device=self._device, ok=ok, code=code, text=text, time=self._clock.wall()
        )
