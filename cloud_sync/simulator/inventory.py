"""What simulated devices are and where they stand, by their names and the seed. Pure."""

from collections.abc import Mapping
from typing import Final

from cloud_sync.simulator.chance import chance
from edge_agent.contract.names import check_name
from edge_agent.contract.state import Hardware

SITE_TAG: Final = "site"
FLEET_TAG: Final = "fleet"
SIMULATED: Final = "simulated"
"""Value of the tag `fleet` of every simulated device: a target that real ones cannot match."""

_CPU: Final = ("CPUExecutionProvider",)
_CLASSES: Final = (
    ("aarch64", "Cortex-A72", 4, 3_800),
    ("aarch64", "Cortex-A53", 4, 900),
    ("x86_64", "Celeron N4100", 2, 7_800),
)


def names(prefix: str, count: int) -> tuple[str, ...]:
    """Names of a fleet, `sim-00001` to the last one.

    Raises:
        ContractError: no device can be called so.
    """
    check_name("device", f"{prefix}-{count:05d}")  # the longest
    return tuple(f"{prefix}-{number:05d}" for number in range(1, count + 1))


def hardware_of(seed: int, device: str) -> Hardware:
    """What a simulated device claims to be: one of three classes."""
    machine, cpu, cpus, memory_mb = _CLASSES[int(chance(seed, device, "hardware") * len(_CLASSES))]
    return Hardware(
        machine=machine,
        system="Linux",
        cpu=cpu,
        cpus=cpus,
        memory_mb=memory_mb,
        providers=_CPU,
    )


def tags_of(seed: int, device: str, sites: int) -> Mapping[str, str]:
    """The tags that a simulated device is given."""
    tags = {FLEET_TAG: SIMULATED}
    if sites:
        tags[SITE_TAG] = f"site-{1 + int(chance(seed, device, 'site') * sites)}"
    return tags
