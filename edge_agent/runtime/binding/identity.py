"""Which message an answer belongs to: the id and the time that are copied from it."""

from typing import Final

from msgspec import UNSET, Raw, UnsetType, json

from edge_agent.contract.manifest import Input
from edge_agent.runtime.binding.path import keys_of, look_up, walk
from edge_agent.runtime.binding.tensors import Tensors

_PLAIN: Final = frozenset({bool, int, float, str})
"""What an id or a time may be; CBOR has more kinds than JSON."""


class Identity:
    """Finds id and time.

    Args:
        source: with the paths of both.
        splits_lists: whether a list is many messages.
    """

    def __init__(self, source: Input, *, splits_lists: bool) -> None:
        self._id_keys = keys_of(source.id)
        self._time_keys = keys_of(source.time)
        self._id_key = source.id if len(self._id_keys) == 1 else ""
        self._time_key = source.time if len(self._time_keys) == 1 else ""
        self._splits_lists = splits_lists

    def of(self, value: object) -> tuple[Raw | UnsetType, Raw | UnsetType]:
        """The message's id and time, as JSON; UNSET where it has none or it is no plain value.

        Of a list of messages, lists: one entry a message, null where there is none.
        """
        if type(value) is dict:
            # Most messages have neither, or on their top level: one look settles it.
            return (
                _copied(value.get(self._id_key) if self._id_key else walk(value, self._id_keys)),
                _copied(
                    value.get(self._time_key) if self._time_key else walk(value, self._time_keys)
                ),
            )
        if type(value) is list and self._splits_lists:
            return _copied_all(value, self._id_keys), _copied_all(value, self._time_keys)
        return (value.id if isinstance(value, Tensors) else UNSET), UNSET


def _copied(value: object) -> Raw | UnsetType:
    """A plain value as JSON; objects and lists are nobody's id."""
    if value is None or type(value) not in _PLAIN:
        return UNSET
    return Raw(json.encode(value))


def _copied_all(messages: list[object], keys: tuple[str, ...]) -> Raw | UnsetType:
    found = [look_up(message, keys) for message in messages]
    plain = [item if type(item) in _PLAIN else None for item in found]
    if all(item is None for item in plain):
        return UNSET
    return Raw(json.encode(plain))
