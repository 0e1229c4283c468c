"""Layers of configuration: which value holds where several are given, and where it is from. Pure.

    module < fleet < group (lower rank < higher, then by name) < device < deployment

Within one layer a value for one slot goes before one for all slots. Only what a deployment may
change about a module can be layered (`SlotConfig`), and a setting of the agent. Shadows have no
configuration: they get what their slot gets.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from cloud_sync.errors import InvalidInput
from cloud_sync.fleet_resources import EffectiveSetting, LayeredValue, LayerKind
from edge_agent.contract.manifest import Manifest, Output
from edge_agent.contract.names import did_you_mean
from edge_agent.contract.routes import filter_problems
from edge_agent.contract.state import AgentSettings, SlotConfig, WantedSlot

TOPICS: Final = ("input_topic", "output_topic")
UPLINK: Final = "uplink"
SLOT_KEYS: Final = (*TOPICS, UPLINK)
AGENT_KEY: Final = "health_interval_s"
KEYS: Final = (*SLOT_KEYS, AGENT_KEY)

_ORDER: Final[Mapping[str, int]] = {"fleet": 0, "group": 1, "device": 2}


class Value(Struct, frozen=True, kw_only=True):
    """One value of one layer.

    Attributes:
        name: of the group or the device; empty for the fleet.
        rank: of the group.
        slot: empty for all slots.
    """

    layer: LayerKind
    name: str = ""
    rank: int = 0
    slot: str = ""
    key: str
    value: str

    @property
    def origin(self) -> str:
        """The layer as people call it."""
        return f"group {self.name}" if self.layer == "group" else self.layer


def ordered(values: Iterable[Value]) -> tuple[Value, ...]:
    """Values of all layers of one device, so that the later one holds."""
    return tuple(sorted(values, key=lambda v: (_ORDER[v.layer], v.rank, v.name, v.slot != "")))


def effective_config(values: Sequence[Value], slot: str, own: SlotConfig) -> SlotConfig:
    """What a slot gets.

    Args:
        values: of the device's layers, ordered.
        slot: its name.
        own: what its deployment says.
    """
    found = {v.key: v.value for v in values if v.key in SLOT_KEYS and v.slot in ("", slot)}
    mine = {key: text for key, text in asdict(own).items() if text}
    return SlotConfig(**(found | mine)) if found else own


def effective_slots(
    values: Sequence[Value], slots: Mapping[str, WantedSlot]
) -> dict[str, WantedSlot]:
    """Slots with what they get, from slots with what their deployments say."""
    return {
        name: wanted
        if wanted.mode == "shadow"
        else msgspec.structs.replace(wanted, config=effective_config(values, name, wanted.config))
        for name, wanted in slots.items()
    }


def health_interval_s(values: Sequence[Value]) -> float | None:
    """Seconds between two health reports; None if no layer says."""
    found = [v.value for v in values if v.key == AGENT_KEY]
    return float(found[-1]) if found else None


def explain_slot(
    values: Sequence[Value], slot: str, wanted: WantedSlot, manifest: Manifest | None
) -> list[EffectiveSetting]:
    """What holds for a slot, key by key.

    Args:
        values: of the device's layers, ordered.
        slot: its name.
        wanted: what should run there, with what its deployment says.
        manifest: of its module; None if it is not published any more.
    """
    built = (
        {
            "input_topic": manifest.input.topic,
            "output_topic": manifest.output.topic,
            "uplink": manifest.output.uplink,
        }
        if manifest is not None
        else {}
    )
    own = asdict(wanted.config)
    settings: list[EffectiveSetting] = []
    for key in SLOT_KEYS:
        stack = [LayeredValue(value=built[key], origin="module")] if key in built else []
        if wanted.mode == "run":
            stack += [
                LayeredValue(value=v.value, origin=v.origin)
                for v in values
                if v.key == key and v.slot in ("", slot)
            ]
            if own[key]:
                stack.append(LayeredValue(value=own[key], origin="deployment"))
        if stack:
            settings.append(_topmost(slot, key, stack))
    return settings


def explain_agent(values: Sequence[Value]) -> list[EffectiveSetting]:
    """What holds for the agent; nothing if no layer says and its own file counts."""
    stack = [LayeredValue(value=v.value, origin=v.origin) for v in values if v.key == AGENT_KEY]
    return [_topmost("", AGENT_KEY, stack)] if stack else []


def check_value(key: str, slot: str, value: str) -> None:
    """Check a value by itself.

    Args:
        key: what is set.
        slot: for which slot; empty for all.
        value: as text.

    Raises:
        InvalidInput: `config_invalid`: there is no such key, it cannot be set for this slot or for
            all, or the value is none.
    """
    check_key(key)
    if key in TOPICS:
        if not slot:
            raise _invalid(f"{key} expected a slot, found none", "name it with --slot")
        problems = list(filter_problems(value, key)) if key == "input_topic" else []
        if problems:
            raise _invalid(problems[0], "correct the topic")
    elif key == UPLINK:
        _check_type(key, {"topic": "x", "uplink": value}, Output, "all, changes, none or sample:F")
    else:
        if slot:
            raise _invalid(f"{key} concerns the agent, found slot {slot!r}", "leave --slot out")
        _check_type(key, {key: value}, AgentSettings, "seconds from 1 to 86400")


def check_key(key: str) -> None:
    """Check that there is such a key.

    Raises:
        InvalidInput: `config_invalid`: there is none; the hint names the closest.
    """
    if key not in KEYS:
        raise _invalid(
            f"configuration expected one of {', '.join(KEYS)}, found {key[:80]!r}",
            did_you_mean(key, KEYS),
        )


def _check_type(key: str, value: dict[str, str], kind: type[Struct], expected: str) -> None:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(
            f"{key} expected {expected}, found {value[key][:80]!r}", "correct the value"
        ) from error


def _topmost(slot: str, key: str, stack: Sequence[LayeredValue]) -> EffectiveSetting:
    *below, top = stack
    return EffectiveSetting(
        slot=slot,
        key=key,
        value=top.value,
        origin=top.origin,
        overridden=tuple(reversed(below)),
    )


def _invalid(text: str, hint: str) -> InvalidInput:
    return InvalidInput(text, hint=hint, code="config_invalid")
