"""Choice: which version each device gets, and how many bytes that sends it. Pure.

With `per_device` each device has a module of its own, whose name holds the device's. The registry
is asked for all of them at once; here it is only told apart who gets what.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from cloud_sync.errors import ContractError, InvalidInput
from cloud_sync.resources import ModuleVersion
from cloud_sync.rollout_resources import Obstacle
from edge_agent.contract.names import check_name

DEVICE: Final = "{device}"
_SOME_DEVICE: Final = "device"


class Chosen(Struct, frozen=True):
    """Who gets what.

    Attributes:
        versions: device to its version.
        missing: devices for which there is none.
    """

    versions: Mapping[str, ModuleVersion]
    missing: tuple[Obstacle, ...] = ()


def module_of(pattern: str, device: str) -> str:
    """The name of a device's own module."""
    return pattern.replace(DEVICE, device)


def check_pattern(pattern: str) -> None:
    """Check a pattern of modules.

    Raises:
        InvalidInput: `pattern_invalid`: it does not hold `{device}`, or gives no names.
    """
    if DEVICE not in pattern:
        raise InvalidInput(
            f"module of each device expected {DEVICE} in its name, found {pattern[:80]!r}",
            hint=f"write it as model-for-{DEVICE}",
            code="pattern_invalid",
        )
    try:
        check_name("module", module_of(pattern, _SOME_DEVICE))
    except ContractError as error:
        raise InvalidInput(
            f"module of each device expected a name with {DEVICE} in it, of a-z, 0-9 and '-', "
            f"found {pattern[:80]!r}",
            hint=f"write it as model-for-{DEVICE}",
            code="pattern_invalid",
        ) from error


def choose_each(
    pattern: str, version: int | None, devices: Iterable[str], known: Mapping[str, ModuleVersion]
) -> Chosen:
    """Give each device its own module.

    Args:
        pattern: of the modules' names, with `{device}`.
        version: that was asked for; None for each one's newest.
        devices: that are meant.
        known: module to the version of it that may be used: the one that was asked for, or its
            newest that is not retired.
    """
    versions: dict[str, ModuleVersion] = {}
    missing: list[Obstacle] = []
    which = "version that is in use" if version is None else f"usable version {version}"
    for device in devices:
        module = module_of(pattern, device)
        if module in known:
            versions[device] = known[module]
        else:
            text = f"there is no module {module!r} with a {which}"
            missing.append(Obstacle(device=device, code="module_not_found", text=text))
    return Chosen(versions, tuple(missing))


def bytes_to_send(
    wanted: str, present: Sequence[str], files: Mapping[str, Mapping[str, int]]
) -> int:
    """Bytes of a version that a device has not got.

    Args:
        wanted: digest of the version.
        present: digests of versions that the device has.
        files: digest of a version to its files' digests and sizes, bytes.
    """
    had = {file for digest in present for file in files.get(digest, {})}
    return sum(size for file, size in files.get(wanted, {}).items() if file not in had)
