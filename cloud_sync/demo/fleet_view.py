"""What the demo knows about its devices while rows are replayed: versions, phases, rates.

Asks the service by its SDK; the answers to rows are counted elsewhere.
"""

import time
from typing import Final

from cloud_sync.client import ShoalClient
from cloud_sync.demo.score import DeviceTally, Scorer

DEVICES: Final = ("line-1", "line-2", "line-3")


class FleetView:
    """What the table shows about the devices: asked at most every half second.

    Args:
        client: of the service.
        slot: the slot that is shown.
        scorer: counts the answers.
    """

    _ASK_S: Final = 0.5

    def __init__(self, client: ShoalClient, slot: str, scorer: Scorer) -> None:
        self._client = client
        self._slot = slot
        self._scorer = scorer
        self._asked = 0.0
        self._counted: dict[str, tuple[float, int]] = {}
        self.rates: dict[str, float] = {}
        self.wanted: dict[str, int] = {}
        self.running: dict[str, int] = {}
        self.phases: dict[str, str] = {}

    def refresh(self) -> None:
        """Ask the service and compute rates, if it is time."""
        now = time.monotonic()
        if now - self._asked < self._ASK_S:
            return
        self._asked = now
        for device in self._client.devices.search():
            slot = device.slots.get(self._slot)
            if slot is not None:
                self.wanted[device.device] = slot.wanted_version
                self.running[device.device] = slot.running_version
                self.phases[device.device] = slot.phase
        for name, tally in self._scorer.devices.items():
            before, count = self._counted.get(name, (now, tally.answers))
            if now > before:
                self.rates[name] = (tally.answers - count) / (now - before)
            self._counted[name] = (now, tally.answers)

    def all_run(self, version: int) -> bool:
        """Whether every device reported that it runs this version."""
        return all(self.running.get(name) == version for name in DEVICES)

    def devices(self) -> dict[str, DeviceTally]:
        """A tally for every device, also for those that have not answered yet."""
        return {name: self._scorer.devices.get(name, DeviceTally()) for name in DEVICES}
