"""The HTTP API's resources of groups and of layered configuration.

Shared by `fleet`, `api` and `client`, as `cloud_sync.resources` is. Times are seconds since 1970.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge_agent.contract.manifest import Name

LayerKind = Literal["fleet", "group", "device"]
Target = Annotated[str, Meta(max_length=2_000)]
ConfigText = Annotated[str, Meta(min_length=1, max_length=1_000)]


class Group(Struct, frozen=True, kw_only=True):
    """Devices that were put together by name.

    Attributes:
        rank: of two groups of a device, the configuration of the higher one goes first.
        size: how many devices are in it.
    """

    name: Name
    description: str
    rank: int
    size: int
    created: float
    created_by: str


class GroupDetail(Struct, frozen=True, kw_only=True):
    """A group and its devices."""

    group: Group
    devices: tuple[str, ...]


class GroupChange(Struct, frozen=True, kw_only=True):
    """What to change about a group; one that is not there is made if devices are added.

    Attributes:
        add: a target: devices that match it now become members.
        remove: a target: devices that match it now are members no more.
        description: None to keep it.
        rank: None to keep it.
    """

    add: Target = ""
    remove: Target = ""
    description: Annotated[str, Meta(max_length=2_000)] | None = None
    rank: Annotated[int, Meta(ge=-1_000, le=1_000)] | None = None


class GroupChanged(Struct, frozen=True, kw_only=True):
    """What became of a change of a group.

    Attributes:
        revisions: devices whose configuration is another one now, to their new revision.
    """

    group: Group
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    revisions: dict[str, int] = {}


class ConfigValue(Struct, frozen=True, kw_only=True):
    """One value of one layer.

    Attributes:
        layer: below which it holds.
        name: of the group or the device; empty for the fleet.
        slot: empty for every slot, or for what concerns the agent.
    """

    layer: LayerKind
    name: str
    slot: str
    key: str
    value: str
    changed: float
    changed_by: str


class ConfigChange(Struct, frozen=True, kw_only=True):
    """Set and take away values of one layer, for one slot or for all.

    Attributes:
        dry_run: only say whom it would concern.
    """

    layer: LayerKind
    name: Annotated[str, Meta(max_length=63)] = ""
    slot: Annotated[str, Meta(max_length=63)] = ""
    set: dict[str, ConfigText] = {}
    unset: tuple[str, ...] = ()
    dry_run: bool = False


class ConfigChanged(Struct, frozen=True, kw_only=True):
    """Whom a change of configuration concerns.

    Attributes:
        revisions: devices whose effective values change, to their new revision.
        unchanged: how many more were looked at, and keep theirs.
    """

    revisions: dict[str, int]
    unchanged: int


class LayeredValue(Struct, frozen=True, kw_only=True):
    """A value and where it comes from.

    Attributes:
        origin: "module", "fleet", "group NAME", "device", "deployment" or "agent".
    """

    value: str
    origin: str


class EffectiveSetting(Struct, frozen=True, kw_only=True):
    """What holds for a slot of a device, and why.

    Attributes:
        slot: empty for what concerns the agent.
        overridden: what holds no more because of it, the nearest first.
    """

    slot: str
    key: str
    value: str
    origin: str
    overridden: tuple[LayeredValue, ...] = ()
