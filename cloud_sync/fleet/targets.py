"""Targets: which devices a person means by `NAME`, `KEY=VALUE` or `all`. Pure."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from cloud_sync.errors import InvalidInput, NotFound
from cloud_sync.resources import Tags
from edge_agent.contract.names import check_name, did_you_mean

ALL: Final = "all"


class Everything(Struct, frozen=True):
    """All devices."""


class Tagged(Struct, frozen=True):
    """Devices with this tag."""

    key: str
    value: str


class Named(Struct, frozen=True):
    """One device."""

    device: str


Target = Everything | Tagged | Named


def parse_target(text: str) -> Target:
    """Read a target.

    A device that is called `all` cannot be meant alone; give it a tag.

    Raises:
        InvalidInput: a tag without a key or a value.
        ContractError: not a device name.
    """
    if text == ALL:
        return Everything()
    key, sign, value = text.partition("=")
    if not sign:
        return Named(check_name("device", text))
    if not key or not value:
        raise InvalidInput(
            f"target expected a device's name, KEY=VALUE or {ALL!r}; found {text!r}",
            code="target_invalid",
            hint="name a device, a tag as site=lyon, or all",
        )
    return Tagged(key, value)


def parse_tag(text: str) -> tuple[str, str]:
    """Read a `KEY=VALUE` of a query.

    Raises:
        InvalidInput: there is no '=' or no key.
    """
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise InvalidInput(
            f"expected KEY=VALUE, found {text[:120]!r}", hint="write it as site=lyon"
        )
    return key, value


def select_devices(target: Target, fleet: Mapping[str, Tags]) -> tuple[str, ...]:
    """The devices that a target means, sorted.

    Args:
        target: who is meant.
        fleet: every device, with its tags.

    Raises:
        NotFound: nobody; the hint names the closest device or tag.
    """
    if isinstance(target, Everything):
        found = sorted(fleet)
        problem = NotFound(
            "there are no devices yet",
            hint="start an edge-agent: it becomes known when it first connects",
            code="no_devices",
        )
    elif isinstance(target, Tagged):
        wanted = f"{target.key}={target.value}"
        found = sorted(n for n, tags in fleet.items() if tags.get(target.key) == target.value)
        known = {f"{key}={value}" for tags in fleet.values() for key, value in tags.items()}
        problem = NotFound(
            f"no device has the tag {wanted}",
            hint=did_you_mean(wanted, known),
            code="device_not_found",
        )
    else:
        found = [target.device] if target.device in fleet else []
        problem = device_not_found(target.device, fleet)
    if not found:
        raise problem
    return tuple(found)


def device_not_found(device: str, known: Mapping[str, object]) -> NotFound:
    """The error for a device that nobody knows."""
    return NotFound(
        f"no device is named {device!r}",
        hint=did_you_mean(device, known),
        code="device_not_found",
    )
