"""A whole simulated fleet on one broker, in one thread: connects, comes back, counts, ends."""

import asyncio
import contextlib
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Self

from cloud_sync.broker.session import Address
from cloud_sync.errors import ConfigError, Unavailable
from cloud_sync.simulator.behaviour import Behaviour
from cloud_sync.simulator.chance import chance
from cloud_sync.simulator.connection import DeviceConnection
from cloud_sync.simulator.device import Outgoing, SimulatedDevice
from cloud_sync.simulator.gate import Gate
from cloud_sync.simulator.profiles import Profiles
from cloud_sync.simulator.tally import FleetNumbers, FleetTally
from edge_agent.contract.state import AgentInfo

CONNECTS_PER_S: Final = 500.0
CONNECTS_AT_ONCE: Final = 100
ACCEPT_S: Final = 30.0
"""For the broker's word to CONNECT and SUBSCRIBE."""
RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 30.0
LEAVE_S: Final = 10.0
_OTHER_FILES: Final = 64
"""Open files of the process besides the connections."""


class SimulatedFleet:
    """Devices that live while the `async with` block runs.

    Args:
        address: of the broker, without TLS.
        names: of the devices.
        behaviour: of all of them.
        agent: that they claim to be.
        profiles: of versions, for their scores; without, they count none.
        connects_per_s: new connections a second.
        clock: seconds since 1970.
        watch: is told of every message of a device, at the moment when it is sent.
    """

    def __init__(
        self,
        address: Address,
        names: Sequence[str],
        behaviour: Behaviour,
        agent: AgentInfo,
        *,
        profiles: Profiles | None = None,
        connects_per_s: float = CONNECTS_PER_S,
        clock: Callable[[], float] = time.time,
        watch: Callable[[float, Outgoing], None] | None = None,
    ) -> None:
        if address.has_tls:
            raise ConfigError(
                f"simulated devices expected a broker without TLS, found {address.url}",
                hint="give the fleet a broker of its own, mqtt://HOST:PORT",
            )
        self._address = address
        self._behaviour = behaviour
        self._tally = FleetTally(clock, behaviour.seed, watch)
        self._connects_per_s = connects_per_s
        began = self._tally.began
        scores = (profiles or Profiles()).scores_of
        self.devices = [SimulatedDevice(name, behaviour, began, agent, scores) for name in names]
        self._connections: dict[str, DeviceConnection] = {}
        self._is_ending = False
        self._lives: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        raise_file_limit(len(self.devices) + _OTHER_FILES)
        gate = Gate(self._connects_per_s, CONNECTS_AT_ONCE)
        self._lives = [asyncio.create_task(self._live(device, gate)) for device in self.devices]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_ending = True
        leaving = [connection.lost for connection in self._connections.values()]
        for connection in list(self._connections.values()):
            connection.leave("the simulation ends")
        if leaving:
            await asyncio.wait(leaving, timeout=LEAVE_S)
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)

    def numbers(self) -> FleetNumbers:
        """Where the fleet stands now."""
        versions: Counter[str] = Counter()
        phases: Counter[str] = Counter()
        for device in self.devices:
            for name, slot in device.slots.items():
                phases[f"{name} {slot.phase.value}"] += 1
                running = slot.serving
                what = f"{running.module}/{running.version}" if running else "nothing"
                versions[f"{name} {what}"] += 1
        return self._tally.numbers(len(self.devices), versions, phases)

    def check(self) -> None:
        """Check that nothing of the fleet has ended by a mistake of ours, and the broker is there.

        Raises:
            Unavailable: no device has ever got in.
        """
        for life in self._lives:
            if life.done() and not life.cancelled():
                life.result()
        # A fleet that was in before waits for a broker that is started again.
        was_in = self._tally.connected or self._tally.losses
        if not was_in and self._tally.refusals > 2 * len(self.devices):
            raise Unavailable(
                f"no simulated device gets into {self._address.url}: {self._tally.last_refusal}",
                hint="check the broker's address, and how many connections it allows",
                code="broker_unreachable",
            )

    async def _live(self, device: SimulatedDevice, gate: Gate) -> None:
        """One device: here, away, here again, until the fleet ends."""
        clock, failures = self._tally.clock, 0
        while not self._is_ending:
            if device.is_away(now := clock()):
                await asyncio.sleep(max(0.0, self._tally.began + device.outage.ends - now))
                device.returned(clock())
                continue
            connection = await self._connect(device, gate)
            if connection is None:
                failures += 1
                longest = min(RETRY_LONGEST_S, RETRY_FIRST_S * 2.0 ** min(failures, 8))
                words = (device.name, "reconnect", failures)
                await asyncio.sleep(longest * chance(self._behaviour.seed, *words))
                continue
            failures = 0
            self._connections[device.name] = connection
            self._tally.connected += 1
            connection.pump()
            try:
                await connection.lost
            finally:
                device.lost()
                self._tally.connected -= 1
                self._tally.losses += 1
                del self._connections[device.name]

    async def _connect(self, device: SimulatedDevice, gate: Gate) -> DeviceConnection | None:
        """A connection on which the device is subscribed, or None."""
        loop = asyncio.get_running_loop()
        login = (self._address.user, self._address.password)
        connection = DeviceConnection(device, login, self._tally)
        async with gate:
            try:
                async with asyncio.timeout(ACCEPT_S):
                    await loop.create_connection(
                        lambda: connection, self._address.host, self._address.port
                    )
                    await connection.ready
            except (OSError, TimeoutError, Unavailable) as error:
                self._tally.refused(str(error) or f"no answer within {ACCEPT_S:g} s")
                connection.leave("not accepted")
                return None
        return connection


def raise_file_limit(wanted: int) -> None:
    """Allow this process so many open files.

    Raises:
        ConfigError: the system does not allow as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with contextlib.suppress(ValueError, OSError):
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        raise ConfigError(
            f"so many devices need {wanted} open files, and the system allows {hard}",
            code="too_many_devices",
            hint="simulate fewer, or raise the limit: `ulimit -Hn`, LimitNOFILE= of a unit",
        )
