"""What would decide a gate that waits: more messages, more devices, or nobody but a person. Pure.

The gate is asked again about more of the same: as if the version went on as it did. Must never
change an outcome; it says only what is worth waiting for.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cloud_sync.rollout.observation import Counted, Sample
from cloud_sync.rollout.weighing import Outcome
from cloud_sync.rollout_resources import GateNeed

TIMES: Final = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""What is not decided by so much more lies too close to the middle to be decided by waiting."""

Weigh = Callable[[float, float], Outcome]
"""What a gate would say of so many times the messages of each device, and so many times the
devices."""


class Prospect(Struct, frozen=True, kw_only=True):
    """What a gate waits for.

    Attributes:
        need: what there is too little of; "judgement" if neither would tell good from bad.
        times: so many times as much of it would do, about.
    """

    need: GateNeed
    times: float = 1.0


def more_counted(counted: Counted, messages: float, devices: float) -> Counted:
    """So many times the messages of each device, on so many times the devices."""
    times = messages * devices
    return replace(
        counted,
        least=counted.least * times,
        most=counted.most * times,
        of=counted.of * times,
        devices=counted.devices * devices,
    )


def more_sampled(sample: Sample, messages: float, devices: float) -> Sample:
    """The same of a figure that each device has, which is the surer the more it has seen."""
    return replace(
        sample,
        devices=round(sample.devices * devices),
        noise=sample.noise / messages,
        bias=sample.bias / messages,
    )


def look_ahead(weigh: Weigh) -> Prospect:
    """What a gate that waits would need.

    Args:
        weigh: of the gate; "waiting" for once of both.
    """
    if weigh(TIMES[-1], 1.0) != "waiting":
        return Prospect(need="messages", times=_first(lambda times: weigh(times, 1.0)))
    if weigh(1.0, TIMES[-1]) != "waiting":
        return Prospect(need="devices", times=_first(lambda times: weigh(1.0, times)))
    return Prospect(need="judgement")


def _first(weigh: Callable[[float], Outcome]) -> float:
    return next(times for times in TIMES if weigh(times) != "waiting")
