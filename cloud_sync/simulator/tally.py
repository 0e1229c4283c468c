"""What a simulated fleet has said and heard, in numbers."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from cloud_sync.errors import ContractError
from cloud_sync.simulator.device import Outgoing
from edge_agent.contract.topics import parse

_MOST_COMPLAINTS: Final = 20


class FleetNumbers(Struct, frozen=True, kw_only=True):
    """A moment of a simulation.

    Attributes:
        seconds: since it began.
        devices: that are simulated.
        connected: that are connected now.
        versions: `slot module/version` to how many devices run it.
        phases: `slot phase` to how many devices are there.
        sent: messages of the devices, by channel.
        received: messages to them, by channel.
        sent_bytes: payloads of what they sent.
        losses: connections that ended.
        refusals: attempts to connect that failed.
        complaints: what came that the contract does not allow; at most twenty.
    """

    seconds: float
    devices: int
    connected: int
    versions: dict[str, int]
    phases: dict[str, int]
    sent: dict[str, int]
    received: dict[str, int]
    sent_bytes: int
    losses: int
    refusals: int
    complaints: tuple[str, ...] = ()

    @property
    def messages(self) -> int:
        """Sent and received."""
        return sum(self.sent.values()) + sum(self.received.values())


class FleetTally:
    """Counts for a whole fleet, on its one thread.

    Args:
        clock: seconds since 1970.
        seed: of the simulation.
        watch: is told of every message of a device.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        seed: int,
        watch: Callable[[float, Outgoing], None] | None = None,
    ) -> None:
        self.clock = clock
        self._watch = watch
        self.began = clock()
        self.seed = seed
        self.connected = 0
        self.losses = 0
        self.refusals = 0
        self.last_refusal = ""
        self.sent_bytes = 0
        self.complaints: list[str] = []
        self._sent: Counter[str] = Counter()
        self._received: Counter[str] = Counter()

    def sent(self, message: Outgoing) -> None:
        """A device says something."""
        self._sent[_channel(message.topic)] += 1
        self.sent_bytes += len(message.payload)
        if self._watch is not None:
            self._watch(self.clock(), message)

    def received(self, topic: str) -> None:
        """A device is told something."""
        self._received[_channel(topic)] += 1

    def misunderstood(self, error: ContractError) -> None:
        """What a device was told is not as the contract says."""
        if len(self.complaints) < _MOST_COMPLAINTS:
            self.complaints.append(str(error))

    def refused(self, reason: str) -> None:
        """A device could not connect."""
        self.refusals += 1
        self.last_refusal = reason

    def numbers(self, devices: int, versions: Counter[str], phases: Counter[str]) -> FleetNumbers:
        """All of it, now.

        Args:
            devices: that are simulated.
            versions: what they run.
            phases: where their slots are.
        """
        return FleetNumbers(
            seconds=round(self.clock() - self.began, 3),
            devices=devices,
            connected=self.connected,
            versions=dict(sorted(versions.items())),
            phases=dict(sorted(phases.items())),
            sent=dict(sorted(self._sent.items())),
            received=dict(sorted(self._received.items())),
            sent_bytes=self.sent_bytes,
            losses=self.losses,
            refusals=self.refusals,
            complaints=tuple(self.complaints),
        )


def _channel(topic: str) -> str:
    return parse(topic).channel.value
