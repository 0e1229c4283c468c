"""When a simulated device is away: a schedule that its name and the seed decide. Pure."""

from typing import Final

from msgspec import Struct

from cloud_sync.simulator.behaviour import Behaviour
from cloud_sync.simulator.chance import chance, span

NEVER: Final = float("inf")


class Outage(Struct, frozen=True, kw_only=True):
    """One time away.

    Attributes:
        number: of the device's times away, from 0.
        begins: seconds since the simulation began.
        ends: the same.
        is_reboot: the machine started anew; otherwise only the connection was lost.
    """

    number: int
    begins: float
    ends: float
    is_reboot: bool = False


def next_outage(behaviour: Behaviour, device: str, before: Outage | None = None) -> Outage:
    """The time away that follows another, or the first one.

    Args:
        behaviour: of the fleet.
        device: its name.
        before: the one before; None for the first.
    """
    number = 0 if before is None else before.number + 1
    if behaviour.away <= 0.0:
        return Outage(number=number, begins=NEVER, ends=NEVER)
    here_s = behaviour.away_s * (1.0 - behaviour.away) / behaviour.away
    since = 0.0 if before is None else before.ends
    # The first one may come at any moment of the rhythm: a fleet does not leave together.
    stay_s = (
        span(behaviour.seed, here_s, device, "here", number)
        if before is not None
        else 2.0 * here_s * chance(behaviour.seed, device, "here", 0)
    )
    begins = since + stay_s
    return Outage(
        number=number,
        begins=begins,
        ends=begins + span(behaviour.seed, behaviour.away_s, device, "away", number),
        is_reboot=chance(behaviour.seed, device, "reboot", number) < behaviour.reboots,
    )
