"""Delayed labels: what the right answers to messages were."""

from collections.abc import Iterable
from itertools import islice

from cloud_sync.client.transport import Params, Transport, path_of
from cloud_sync.label_resources import DeviceLabel, GivenLabels, LabelsTaken, StoredLabel
from edge_agent.contract.labels import MOST_LABELS


class Labels:
    """The group `client.labels`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(self, labels: Iterable[DeviceLabel], *, reason: str = "") -> LabelsTaken:
        """Tell labels, in parts of 1000; each is counted once however often it is told.

        Args:
            labels: any number.
            reason: for the audit log.

        Raises:
            InvalidInput: one says nothing, or two things. The parts before its own are taken.
            NotFound: a device that nobody knows; likewise.
        """
        rest = iter(labels)
        taken = LabelsTaken()
        while part := tuple(islice(rest, MOST_LABELS)):
            body = GivenLabels(labels=part)
            more = self._transport.ask(
                "POST", path_of("labels"), LabelsTaken, body=body, reason=reason
            )
            taken = LabelsTaken(
                labels=taken.labels + more.labels,
                right=taken.right + more.right,
                wrong=taken.wrong + more.wrong,
                waiting=taken.waiting + more.waiting,
                strange=tuple(dict.fromkeys((*taken.strange, *more.strange))),
            )
        return taken

    def all(
        self,
        *,
        device: str = "",
        slot: str = "",
        waiting: bool = False,
        after_id: int | None = None,
        limit: int = 100,
    ) -> list[StoredLabel]:
        """Labels, newest first.

        Args:
            device: only of this device.
            slot: only of this slot.
            waiting: only those whose answer is not there.
            after_id: only later ones, by id.
            limit: at most so many, 1 to 1000.
        """
        params: Params = {
            "device": device or None,
            "slot": slot or None,
            "waiting": "true" if waiting else None,
            "after_id": after_id,
            "limit": limit,
        }
        return self._transport.ask("GET", path_of("labels"), list[StoredLabel], params=params)
