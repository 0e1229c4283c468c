"""Shadows: which slot may shadow which on one device. Pure, the same for cloud and device.

A shadow's own topics do not matter: what it gets is what the slot that it shadows was asked, and
it publishes nothing. Its outputs do: they are compared by name.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from edge_agent.contract.names import check_name, did_you_mean
from edge_agent.contract.state import SlotConfig, WantedSlot
from edge_agent.errors import ContractError

SUFFIX: Final = "-shadow"
SHADOW_MISFIT: Final = "shadow_misfit"
_AS_BUILT: Final = SlotConfig()
_NAMES_SHOWN: Final = 5


def shadow_slot(slot: str) -> str:
    """The slot of a shadow that was given no other name.

    Raises:
        ContractError: the name would be too long.
    """
    return check_name("slot", slot + SUFFIX)


def check_shadow(slot: str, slots: Mapping[str, WantedSlot]) -> None:
    """Check what a wanted slot says about shadows.

    Args:
        slot: its name.
        slots: all wanted slots of the device, it among them.

    Raises:
        ContractError: it cannot shadow what it names, or names a slot without being a shadow.
    """
    wanted = slots[slot]
    if wanted.mode == "run":
        if wanted.shadows:
            raise _misfit(
                f"slot {slot!r} expected to answer messages or to shadow a slot, found mode 'run' "
                f"and shadows {wanted.shadows!r}",
                "leave 'shadows' out, or set mode 'shadow'",
            )
        return
    others = [name for name, other in slots.items() if other.mode == "run"]
    shadowed = slots.get(wanted.shadows)
    if shadowed is None:
        raise _misfit(
            f"slot {slot!r} expected to shadow a slot of its device, found "
            f"{wanted.shadows or 'none'!r}",
            did_you_mean(wanted.shadows, others) or "deploy what it should be compared with first",
        )
    if shadowed.mode != "run":
        raise _misfit(
            f"slot {slot!r} expected to shadow a slot that answers messages, found the shadow "
            f"{wanted.shadows!r}",
            f"shadow {shadowed.shadows!r} instead",
        )
    rivals = [
        name
        for name, other in slots.items()
        if name != slot and other.mode == "shadow" and other.shadows == wanted.shadows
    ]
    if rivals:
        raise _misfit(
            f"slot {wanted.shadows!r} expected at most one shadow, found {slot!r} and "
            f"{rivals[0]!r}",
            f"remove {rivals[0]!r} first, or deploy into it",
        )
    if wanted.config != _AS_BUILT:
        raise _misfit(
            f"the shadow {slot!r} has topics or an uplink rule of its own",
            f"it gets what {wanted.shadows!r} gets and publishes nothing: leave them out",
        )


def check_outputs(slot: str, own: Sequence[str], shadowed: str, live: Sequence[str]) -> None:
    """Check that a shadow computes something that can be compared.

    Args:
        slot: of the shadow.
        own: names of its module's outputs.
        shadowed: the slot that it shadows.
        live: names of the outputs of the module there.

    Raises:
        ContractError: they have no name in common.
    """
    if set(own).isdisjoint(live):
        raise _misfit(
            f"slot {slot!r} expected an output that {shadowed!r} has, too ({_listed(live)}), "
            f"found {_listed(own)}",
            "outputs are compared by name: export the model with the same names, or shadow "
            "another slot",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return (", ".join(map(repr, names[:_NAMES_SHOWN])) or "none") + more


def _misfit(text: str, hint: str) -> ContractError:
    return ContractError(text, hint=hint, code=SHADOW_MISFIT)
