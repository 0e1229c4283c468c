"""Scoring what came back over MQTT against what the same model says offline. Pure.

It counts every answer to every row, so that a lost row, a second answer and a changed label can
each be told apart.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

RECENT: Final = 500
"""Latencies shown live are over this many of a device's last answers."""


class Confusion(Struct, frozen=True, kw_only=True):
    """How predicted labels agree with the true ones; 1 is an anomaly."""

    found: int = 0
    missed: int = 0
    false_alarms: int = 0
    normal: int = 0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; 0 when there is nothing to find."""
        total = 2 * self.found + self.missed + self.false_alarms
        return 2 * self.found / total if total else 0.0


def confusion(truth: Sequence[int], predicted: Sequence[int]) -> Confusion:
    """Count agreement over rows in the same order.

    Raises:
        ValueError: the two differ in length.
    """
    pairs = Counter(zip(truth, predicted, strict=True))
    return Confusion(
        found=pairs[1, 1], missed=pairs[1, 0], false_alarms=pairs[0, 1], normal=pairs[0, 0]
    )


class Answer(Struct, frozen=True):
    """One result as it came back.

    Attributes:
        row: number of the row in the replay.
        label: 0 or 1.
        latency_ms: from the sensor's publish call to the reader's callback.
    """

    row: int
    version: int
    label: int
    device: str
    latency_ms: float


class Verdict(Struct, frozen=True, kw_only=True):
    """What the replay showed.

    Attributes:
        lost: rows sent that were never answered.
        duplicated: answers beyond the first to a row.
        errors: error messages from workers.
        differing: rows whose label over MQTT is not the offline label of the version that answered.
        answered_by: version to number of rows.
        f1_mqtt: over the answered rows.
        f1_offline: the same rows, each by the version that answered it.
    """

    sent: int
    answered: int
    lost: int
    duplicated: int
    errors: int
    differing: int
    answered_by: dict[int, int]
    mqtt: Confusion
    f1_mqtt: float
    f1_offline: float
    p50_ms: float
    p99_ms: float

    def complaints(self, versions: Sequence[int]) -> tuple[str, ...]:
        """Everything that is not as it must be, in words; empty when all is well.

        Args:
            versions: each of these must have answered at least one row.
        """
        said = (
            (self.sent == 0, "no row was sent"),
            (self.lost > 0, f"{self.lost} of {self.sent} rows were never answered"),
            (self.duplicated > 0, f"{self.duplicated} rows were answered more than once"),
            (self.errors > 0, f"{self.errors} rows were answered with an error"),
            (self.differing > 0, f"{self.differing} labels differ from the offline model's"),
            (
                self.f1_mqtt != self.f1_offline,
                f"F1 over MQTT is {self.f1_mqtt:.6f}, offline it is {self.f1_offline:.6f}",
            ),
            *(
                (version not in self.answered_by, f"version {version} never answered")
                for version in versions
            ),
        )
        return tuple(text for is_wrong, text in said if is_wrong)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of a sorted sequence lies; 0.0 if it is empty."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class DeviceTally:
    """What one device has answered so far."""

    answers: int = 0
    version: int = 0
    found: int = 0
    missed: int = 0
    false_alarms: int = 0
    recent_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))


class Scorer:
    """Collects answers as they come. Not thread-safe: `add` is called by one thread.

    Args:
        truth: true label of every row, 0 or 1.
        offline: for each version, the label its model gives every row offline.
    """

    def __init__(self, truth: Sequence[int], offline: Mapping[int, Sequence[int]]) -> None:
        self._truth = truth
        self._offline = offline
        self._first: dict[int, Answer] = {}
        self.devices: dict[str, DeviceTally] = {}
        self.duplicated = 0
        self.errors = 0

    @property
    def answered(self) -> int:
        """Rows that have at least one answer."""
        return len(self._first)

    def add(self, answer: Answer) -> None:
        """Count one result."""
        if answer.row in self._first:
            self.duplicated += 1
            return
        self._first[answer.row] = answer
        tally = self.devices.setdefault(answer.device, DeviceTally())
        tally.answers += 1
        tally.version = answer.version
        tally.recent_ms.append(answer.latency_ms)
        truth = self._truth[answer.row]
        tally.found += truth == 1 == answer.label
        tally.missed += truth == 1 != answer.label
        tally.false_alarms += truth == 0 and answer.label == 1

    def verdict(self, sent: Sequence[int]) -> Verdict:
        """Judge the replay of the rows `sent`."""
        answers = [self._first[row] for row in sent if row in self._first]
        truth = [self._truth[a.row] for a in answers]
        labels = [a.label for a in answers]
        expected = [self._offline[a.version][a.row] for a in answers]
        over_mqtt = confusion(truth, labels)
        latencies = sorted(a.latency_ms for a in answers)
        return Verdict(
            sent=len(sent),
            answered=len(answers),
            lost=len(sent) - len(answers),
            duplicated=self.duplicated,
            errors=self.errors,
            differing=sum(a != b for a, b in zip(labels, expected, strict=True)),
            answered_by=dict(sorted(Counter(a.version for a in answers).items())),
            mqtt=over_mqtt,
            f1_mqtt=over_mqtt.f1,
            f1_offline=confusion(truth, expected).f1,
            p50_ms=quantile(latencies, 0.50),
            p99_ms=quantile(latencies, 0.99),
        )
