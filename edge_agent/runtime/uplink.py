"""Which results also go to the cloud, by the module's uplink rule. Pure decisions."""

from collections import OrderedDict
from typing import Final

from edge_agent.runtime.session import Array

_MAX_TOPICS: Final = 4096
_GOLDEN_RATIO: Final = 0.6180339887498949


class UplinkRule:
    """Decides for each result.

    Args:
        rule: "all", "changes", "sample:F" or "none".
    """

    def __init__(self, rule: str) -> None:
        self._kind, _, share = rule.partition(":")
        self._share = float(share) if share else 0.0
        self._position = 0.0
        self._last: OrderedDict[str, bytes] = OrderedDict()

    @property
    def is_sample(self) -> bool:
        """Whether those that go stand for many that do not."""
        return self._kind == "sample"

    def wants(self, topic: str, first: Array | None) -> bool:
        """Whether a result goes to the cloud.

        Args:
            topic: of the message that it answers.
            first: the model's first output.
        """
        match self._kind:
            case "all":
                return True
            case "changes":
                return self._has_changed(topic, first)
            case "sample":
                # Steps of the golden ratio: evenly spread, and in no rhythm with the sensors.
                self._position = (self._position + _GOLDEN_RATIO) % 1.0
                return self._position < self._share
            case _:
                return False

    def _has_changed(self, topic: str, first: Array | None) -> bool:
        if first is None:
            return False
        now = repr(first.tolist()).encode() if first.dtype == object else first.tobytes()
        before = self._last.get(topic)
        self._last[topic] = now
        self._last.move_to_end(topic)
        if len(self._last) > _MAX_TOPICS:
            self._last.popitem(last=False)
        return now != before
