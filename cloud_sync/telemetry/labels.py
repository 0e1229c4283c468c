"""Delayed labels: matched with the results that devices sent home, and counted once each.

Whichever comes first waits for the other. A label may be told again, and corrected: what was
counted for it is taken back then. Counts go to the version that gave the answer, whatever runs
by now.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct
from sqlalchemy import Connection, Row, insert, select, update

from cloud_sync.db.audit import Change, record
from cloud_sync.db.engine import Database
from cloud_sync.db.label_tables import labels
from cloud_sync.db.telemetry_tables import results
from cloud_sync.errors import InvalidInput, NotFound
from cloud_sync.fleet.known import known_of
from cloud_sync.fleet.measures_store import count_labels
from cloud_sync.label_resources import DeviceLabel, LabelsTaken, StoredLabel
from cloud_sync.telemetry.label_places import strange_places
from edge_agent.contract.labels import MOST_LABELS, Label, check_label, is_right, message_key

_BATCH: Final = 200
_MOST_NAMED: Final = 5
"""Devices that an entry in the audit log names."""

_L: Final = labels.c
_R: Final = results.c
_encode: Final = msgspec.json.Encoder().encode
_label_decoder: Final = msgspec.json.Decoder(Label)


class _Answer(Struct):
    """What is needed of a result."""

    digest: str = ""
    outputs: dict[str, Raw] = {}


class _Named(Struct):
    """A result's id. Any: whatever a sensor writes there."""

    id: Any = None


class _Found(Struct, frozen=True):
    """A result that a label may be about."""

    id: int
    answer: _Answer


_answer_decoder: Final = msgspec.json.Decoder(_Answer)
_named_decoder: Final = msgspec.json.Decoder(_Named)


def key_of(result: bytes) -> str | None:
    """The id by which labels find a result, as text; None if it has none."""
    try:
        return message_key(_named_decoder.decode(result).id) or None
    except msgspec.DecodeError:  # no object
        return None


def give(database: Database, given: Sequence[DeviceLabel], change: Change) -> LabelsTaken:
    """Take labels of any devices, all of them or none.

    One entry in the audit log for all: labels may take a version back.

    Raises:
        InvalidInput: too many at once.
        ContractError: `label_invalid`.
        NotFound: a device that nobody knows.
    """
    if len(given) > MOST_LABELS:
        raise InvalidInput(
            f"expected at most {MOST_LABELS} labels at once, found {len(given)}",
            hint="send them in parts",
        )
    by_device: dict[str, list[Label]] = {}
    for label in given:
        by_device.setdefault(label.device, []).append(_without_device(label))
    with database.write() as connection:
        unknown = set(by_device) - set(known_of(connection, list(by_device)))
        if unknown:
            raise NotFound(
                f"no device is named {min(unknown)!r}",
                hint="`shoal device list` shows all",
                code="device_not_found",
            )
        now = change.time
        parts = [take_labels(connection, name, found, now) for name, found in by_device.items()]
        taken = LabelsTaken(
            labels=sum(part.labels for part in parts),
            right=sum(part.right for part in parts),
            wrong=sum(part.wrong for part in parts),
            waiting=sum(part.waiting for part in parts),
            strange=strange_places(connection, ((one.device, one.slot) for one in given)),
        )
        subject = ", ".join(sorted(by_device)[:_MOST_NAMED])
        counts = ("labels", "right", "wrong", "waiting")
        detail = {name: str(getattr(taken, name)) for name in counts}
        record(connection, change, "label.add", subject, detail=detail)
    return taken


def take_labels(
    connection: Connection, device: str, given: Iterable[Label], now: float
) -> LabelsTaken:
    """Take labels of messages that one device answered.

    Raises:
        ContractError: `label_invalid`.
    """
    by_slot: dict[str, dict[str, Label]] = {}
    for label in given:
        by_slot.setdefault(check_label(label).slot, {})[message_key(label.id)] = label
    outcomes: list[bool | None] = []
    for slot, wanted in by_slot.items():
        known = {row.message: row for row in _rows(connection, device, slot, tuple(wanted))}
        found = _results(connection, device, slot, tuple(wanted))
        for message, label in wanted.items():
            row = known.get(message)
            result = _chosen(found.get(message, ()), row)
            place = (device, slot, message)
            outcomes.append(_put(connection, place, label, row, result, now))
    return LabelsTaken(
        labels=len(outcomes),
        right=outcomes.count(True),
        wrong=outcomes.count(False),
        waiting=outcomes.count(None),
    )


def match_results(
    connection: Connection, device: str, new: Mapping[str, Sequence[str]], now: float
) -> None:
    """Compare labels that were waiting with results that have just been stored.

    Args:
        connection: of the transaction.
        device: whose results they are.
        new: slot to the ids of the messages that they answer.
        now: seconds since 1970.
    """
    for slot, messages in new.items():
        waiting = [row for row in _rows(connection, device, slot, messages) if row.is_right is None]
        if not waiting:
            continue
        found = _results(connection, device, slot, [row.message for row in waiting])
        for row in waiting:
            result = _chosen(found.get(row.message, ()), row)
            label = _label_decoder.decode(row.label)
            place = (device, slot, row.message)
            _put(connection, place, label, row, result, now, received=row.received)


def stored_labels(
    database: Database,
    *,
    device: str | None = None,
    slot: str | None = None,
    waiting: bool = False,
    after_id: int | None = None,
    limit: int = 100,
) -> list[StoredLabel]:
    """Labels, newest first.

    Args:
        database: where they are.
        device: only of this device.
        slot: only of this slot.
        waiting: only those whose answer is not here.
        after_id: only those with a higher id.
        limit: most labels in the answer.
    """
    query = select(labels).order_by(_L.id.desc()).limit(limit)
    if device is not None:
        query = query.where(_L.device == device)
    if slot is not None:
        query = query.where(_L.slot == slot)
    if waiting:
        query = query.where(_L.is_right.is_(None))
    if after_id is not None:
        query = query.where(_L.id > after_id)
    with database.read() as connection:
        return [
            StoredLabel(
                id=row.id,
                device=row.device,
                slot=row.slot,
                message=row.message,
                label=_label_decoder.decode(row.label),
                received=row.received,
                digest=row.digest,
                is_right=row.is_right,
            )
            for row in connection.execute(query)
        ]


def _without_device(label: DeviceLabel) -> Label:
    return Label(**{name: getattr(label, name) for name in Label.__struct_fields__})


def _rows(
    connection: Connection, device: str, slot: str, messages: Sequence[str]
) -> Iterator[Row[Any]]:  # Any: columns of several types
    """The labels of messages, where there are any."""
    for part in _parts(messages):
        query = select(labels).where(_L.device == device, _L.slot == slot, _L.message.in_(part))
        yield from connection.execute(query)


def _results(
    connection: Connection, device: str, slot: str, messages: Sequence[str]
) -> dict[str, list[_Found]]:
    """The results of messages, the newest last."""
    found: dict[str, list[_Found]] = {}
    for part in _parts(messages):
        query = (
            select(_R.id, _R.message, _R.result)
            .where(_R.device == device, _R.slot == slot, _R.message.in_(part))
            .order_by(_R.id)
        )
        for number, message, result in connection.execute(query):
            try:
                answer = _answer_decoder.decode(result)
            except msgspec.DecodeError:  # a result of another kind: nothing to compare with
                continue
            found.setdefault(message, []).append(_Found(number, answer))
    return found


def _chosen(found: Sequence[_Found], row: Row[Any] | None) -> _Found | None:
    """The result that a label is about: the one that it was compared with, or else the newest."""
    if row is not None and row.result is not None:
        for result in found:
            if result.id == row.result:
                return result
        return None
    return found[-1] if found else None


def _put(
    connection: Connection,
    place: tuple[str, str, str],
    label: Label,
    row: Row[Any] | None,
    result: _Found | None,
    now: float,
    *,
    received: float | None = None,
) -> bool | None:
    """Keep a label and count what it says. Returns whether the answer was right, if that is known.

    Args:
        connection: of the transaction.
        place: device, slot, and id of the message.
        label: what was told.
        row: what is kept of it; None if it is new.
        result: the answer that it is about; None if it is not here, or not any more.
        now: seconds since 1970.
        received: when it was told, seconds since 1970, if that was not now.
    """
    device, slot, message = place
    before = row.is_right if row is not None else None
    digest = row.digest if row is not None else ""
    right: bool | None = before
    number = row.result if row is not None else None
    if result is not None:
        right = is_right(label, result.answer.outputs)
        digest, number = result.answer.digest[:71], result.id
    elif before is not None and label.right is not None:
        right = label.right  # the result is gone, and is not needed for this
    values = {
        "label": _encode(label),
        "received": now if received is None else received,
        "result": number,
        "digest": digest,
        "is_right": right,
    }
    if row is None:
        key = {"device": device, "slot": slot, "message": message}
        connection.execute(insert(labels).values(**key, **values))
    else:
        connection.execute(update(labels).where(_L.id == row.id).values(**values))
    if right is not before and digest:
        count_labels(
            connection,
            device=device,
            slot=slot,
            digest=digest,
            right=int(right is True) - int(before is True),
            wrong=int(right is False) - int(before is False),
            now=now,
        )
    return right


def _parts(messages: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(messages), _BATCH):
        yield messages[start : start + _BATCH]
