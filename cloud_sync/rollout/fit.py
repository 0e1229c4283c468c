"""Whether a device's slots would fit together with a change, whoever makes it. Reads manifests."""

from collections.abc import Mapping

from cloud_sync.fleet.checks import Manifests, check_cycle, check_misfits
from cloud_sync.fleet.layering import Layering
from edge_agent.contract.state import WantedSlot


def check_fit(
    device: str,
    slot: str,
    slots: Mapping[str, WantedSlot],
    manifests: Manifests,
    layering: Layering,
) -> None:
    """Check what a change of one slot would make of a device.

    Args:
        device: its name.
        slot: that is changed.
        slots: all slots as they would be, each with what its deployment says.
        manifests: of this transaction.
        layering: of this transaction.

    Raises:
        Conflict: results would go round, or a shadow would have nothing to be compared with.
        InvalidInput: with the layers, the configuration would not fit the module.
    """
    after = dict(slots)
    check_misfits(device, after, manifests)
    changed = after.get(slot)
    if changed is None or changed.mode != "run":
        return
    effective = layering.effective(device, after)
    check_cycle(device, slot, effective, manifests)
    manifests.check_config(changed.digest, effective[slot].config)
