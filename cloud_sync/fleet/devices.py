"""Devices: registered by their first message or by hand, tagged, listed, deleted."""

from itertools import islice
from typing import Final

from sqlalchemy import Connection, delete, exists, insert, select

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.fleet_tables import device_tags, devices
from cloud_sync.db.search import matches
from cloud_sync.errors import Conflict
from cloud_sync.fleet.configuration import forget
from cloud_sync.fleet.explain import explain
from cloud_sync.fleet.facts import read_facts
from cloud_sync.fleet.known import ensure
from cloud_sync.fleet.presence import presence
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.fleet.resolve import matching
from cloud_sync.fleet.selection import device_not_found
from cloud_sync.fleet.summary import DeviceFacts, age, summarize
from cloud_sync.labels import check_labels
from cloud_sync.resources import DeviceDetail, DeviceSummary, SlotExplanation, TagChange, Tags
from edge_agent.contract.names import check_name

MAX_TAG: Final = 200
"""Most characters of a tag's value."""

_D: Final = devices.c


class Devices:
    """What people do with devices.

    Args:
        database: where they are.
        publisher: takes a deleted device's messages off the broker.
    """

    def __init__(self, database: Database, publisher: DesiredPublisher) -> None:
        self._database = database
        self._publisher = publisher

    def register(self, device: str, change: Change) -> tuple[DeviceSummary, bool]:
        """Make a device known before it first speaks.

        Returns:
            The device, and whether it is new.

        Raises:
            ContractError: a bad name.
        """
        check_name("device", device)
        with self._database.write() as connection:
            is_new = ensure(connection, device, change.time)
            if is_new:
                record(connection, change, "device.register", device)
            return summarize(_facts(connection, device), change.time), is_new

    def search(
        self, *, name: str, tags: Tags, now: float, limit: int, offset: int, where: str = ""
    ) -> list[DeviceSummary]:
        """Devices that match everything given, by name.

        Args:
            name: a pattern with `*` and `?`.
            tags: each must have the value given here.
            where: an expression; empty for all.
            now: seconds since 1970.
            limit: most devices in the answer.
            offset: how many to leave out first.

        Raises:
            ExpressionError: `where` is none.
        """
        query = select(_D.device).where(matches(_D.device, name))
        for key, value in tags.items():
            of_device = device_tags.c.device == _D.device
            query = query.where(
                exists().where(of_device, device_tags.c.key == key, device_tags.c.value == value)
            )
        query = query.order_by(_D.device)
        with self._database.read() as connection:
            if where:
                meant = frozenset(matching(connection, where))
                every = (device for device in connection.scalars(query) if device in meant)
                names = list(islice(every, offset, offset + limit))
            else:
                names = list(connection.scalars(query.limit(limit).offset(offset)))
            found = read_facts(connection, names)
        return [summarize(facts, now) for facts in found]

    def get(self, device: str, now: float) -> DeviceDetail:
        """Everything that is known about a device.

        Raises:
            NotFound: nobody knows it.
        """
        with self._database.read() as connection:
            facts = _facts(connection, device)
        return DeviceDetail(
            summary=summarize(facts, now),
            desired=facts.desired,
            reported=facts.reported,
            reported_age_s=age(now, facts.reported_at),
            health=facts.health,
            health_age_s=age(now, facts.health_at),
        )

    def explain(
        self, device: str, slot: str, now: float, *, is_expected: bool = False
    ) -> SlotExplanation:
        """Why a slot is where it is.

        Args:
            device: its name.
            slot: its name.
            now: seconds since 1970.
            is_expected: it is to come there, so that it may be empty.

        Raises:
            NotFound: nobody knows the device, or it has no such slot.
        """
        with self._database.read() as connection:
            facts = _facts(connection, device)
        return explain(facts, slot, now, is_expected=is_expected)

    def tag(self, device: str, tags: TagChange, change: Change) -> DeviceSummary:
        """Set and remove tags.

        Raises:
            NotFound: nobody knows the device.
            InvalidInput: a tag is too long, or there would be too many.
        """
        check_labels("tag", tags.set, max_value=MAX_TAG)
        with self._database.write() as connection:
            before = _facts(connection, device).tags
            after = {k: v for k, v in before.items() if k not in tags.remove} | tags.set
            check_labels("tag", after, max_value=MAX_TAG)
            connection.execute(delete(device_tags).where(device_tags.c.device == device))
            if after:
                connection.execute(
                    insert(device_tags),
                    [{"device": device, "key": k, "value": v} for k, v in after.items()],
                )
            record(connection, change, "device.tag", device, detail=after)
            return summarize(_facts(connection, device), change.time)

    def check_known(self, device: str) -> None:
        """Check that a device is known.

        Raises:
            NotFound: nobody knows it.
        """
        with self._database.read() as connection:
            _facts(connection, device)

    def delete(self, device: str, change: Change) -> str:
        """Forget a device: its tags, its states, what it should run. Its events stay.

        Returns:
            What was deleted.

        Raises:
            NotFound: nobody knows it.
            Conflict: it is online, so it would be back with its next message.
        """
        with self._database.write() as connection:
            facts = _facts(connection, device)
            there = presence(change.time, facts.state, facts.last_seen, facts.interval_s)
            if there == "online":
                raise Conflict(
                    f"device {device!r} is online and cannot be deleted",
                    hint="stop its agent first",
                    code="device_online",
                )
            forget(connection, "device", device)
            connection.execute(delete(devices).where(_D.device == device))
            record(connection, change, "device.delete", device)
        self._publisher.publish(device)
        return f"device {device}"


def _facts(connection: Connection, device: str) -> DeviceFacts:
    found = read_facts(connection, [device])
    if not found:
        raise device_not_found(device, dict.fromkeys(connection.scalars(select(_D.device))))
    return found[0]
