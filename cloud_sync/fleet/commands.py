"""Commands: something that a device does once, now, and says how it went.

    1. check that the device is there, and write down who asks
    2. publish the command with a deadline; it is not retained, and nobody begins it later
    3. wait until the answer is in the database, wherever it was taken in; at most to the deadline

Changes nothing that is wanted: what a device should run is its desired state's business.
"""

import time
import uuid
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import func, select

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.telemetry_tables import events
from cloud_sync.errors import Conflict, InvalidInput, Unavailable
from cloud_sync.fleet.devices import Devices
from cloud_sync.fleet.publisher import Outlet
from cloud_sync.resources import CommandDone, CommandWish, Tags
from edge_agent.contract.messages import Command
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode

ANSWER_EVENT: Final = "command_result"
LOOK_S: Final = 0.05


class Commands:
    """Asks devices to do something.

    Args:
        database: where answers arrive.
        outlet: where commands go.
        devices: knows which of them are there.
        pause: waits for some seconds.
    """

    def __init__(
        self,
        database: Database,
        outlet: Outlet,
        devices: Devices,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._outlet = outlet
        self._devices = devices
        self._pause = pause

    def send(self, device: str, wish: CommandWish, change: Change) -> CommandDone:
        """Have a device do something, and wait until it has.

        Args:
            device: its name.
            wish: what.
            change: who asks, why, and when.

        Raises:
            NotFound: nobody knows the device.
            InvalidInput: `slot_missing`: the command is about a slot, and none is named.
            Conflict: `device_not_online`; or the device refused, with its own code and words.
            Unavailable: `broker_away`, or `command_unanswered` in time.
        """
        if wish.name != "report" and not wish.slot:
            raise InvalidInput(
                f"command {wish.name!r} expected a slot, found none",
                code="slot_missing",
                hint="name the slot, as `shoal device show` lists it",
            )
        there = self._devices.get(device, change.time).summary.presence
        if there != "online":
            raise Conflict(
                f"device {device!r} expected online to take a command, found {there}",
                hint="a command is not kept for later; see shoal device show",
                code="device_not_online",
            )
        message_id = uuid.uuid4().hex
        with self._database.write() as connection:
            newest = connection.scalar(select(func.max(events.c.id))) or 0
            detail = {"command": wish.name, "slot": wish.slot, "id": message_id}
            record(connection, change, "device.command", device, detail=detail)
        command = Command(name=wish.name, slot=wish.slot, deadline=change.time + wish.timeout_s)
        topic = control(device, Channel.COMMAND, message_id)
        if not self._outlet.publish(topic, encode(command)):
            raise Unavailable(
                "the broker does not take the command now",
                hint="try again in a few seconds; shoal info says whether the broker is there",
                code="broker_away",
            )
        return self._await_answer(device, wish, message_id, newest)

    def _await_answer(
        self, device: str, wish: CommandWish, message_id: str, newest: int
    ) -> CommandDone:
        deadline = time.monotonic() + wish.timeout_s
        while True:
            answer = self._answer(device, message_id, newest)
            if answer is not None:
                level, text, code = answer
                if level != "info":
                    why = text or code or "it says no more"
                    raise Conflict(f"device {device!r} refused: {why}", code=code or "refused")
                return CommandDone(id=message_id, device=device, name=wish.name, slot=wish.slot)
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"device {device!r} expected to answer within {wish.timeout_s:g} s, did not",
                    hint="it may have done it all the same; see shoal device show",
                    code="command_unanswered",
                )
            self._pause(LOOK_S)

    def _answer(self, device: str, message_id: str, newest: int) -> tuple[str, str, str] | None:
        """Level, text and code of the answer to one command; None while there is none."""
        column = events.c
        query = select(column.level, column.text, column.detail).where(
            column.device == device, column.name == ANSWER_EVENT, column.id > newest
        )
        with self._database.read() as connection:
            for row in connection.execute(query):
                detail = msgspec.json.decode(row.detail, type=Tags)
                if detail.get("id") == message_id:
                    return row.level, row.text, detail.get("code", "")
        return None
