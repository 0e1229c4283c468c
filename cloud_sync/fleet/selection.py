"""Selection: which devices an expression means, of what is known about the fleet. Pure.

Every term becomes the set of devices that it means, and `and`, `or` and `not` work on whole sets:
so a fleet of a hundred thousand takes a few passes over it, whatever the expression.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct

from cloud_sync.errors import NotFound
from cloud_sync.fleet.expression import (
    And,
    Everything,
    Expression,
    Grouped,
    Labelled,
    Named,
    Not,
    Or,
    Running,
    Slotted,
    Tagged,
    Term,
    Text,
    write,
)
from edge_agent.contract.names import did_you_mean

Devices = frozenset[str]

COMPARED: Final = 2_000
"""Names that a hint is looked for among; comparing a whole large fleet would take seconds."""
_NOBODY: Final[Devices] = frozenset()


class Version(Struct, frozen=True):
    """A version of a module."""

    module: str
    version: int


class Needs(Struct, frozen=True, kw_only=True):
    """What must be known of a fleet to answer an expression.

    Attributes:
        tags: names of tags.
        groups: names of groups.
        slots: names of slots.
        all_slots: whether every slot of every device counts.
    """

    tags: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    slots: frozenset[str] = frozenset()
    all_slots: bool = False


class Fleet(Struct, frozen=True, kw_only=True):
    """What is known of all devices.

    Attributes:
        devices: every one.
        tags: a tag's name, to its values, to the devices that have them.
        groups: every group's name, to its devices; they need not be known where none is asked for.
        slots: a slot's name, to what runs there, to the devices where it does.
    """

    devices: Devices
    tags: Mapping[str, Mapping[str, Devices]] = {}
    groups: Mapping[str, Devices] = {}
    slots: Mapping[str, Mapping[Version, Devices]] = {}


def needs_of(expression: Expression) -> Needs:
    """What must be known to answer an expression."""
    terms = list(terms_of(expression))
    versions = {t.key for t in terms if isinstance(t, Labelled) and t.value.version is not None}
    return Needs(
        tags=frozenset(t.key for t in terms if isinstance(t, Labelled | Tagged)),
        groups=frozenset(t.group for t in terms if isinstance(t, Grouped)),
        slots=frozenset(versions | {t.slot for t in terms if isinstance(t, Slotted)}),
        all_slots=any(isinstance(t, Running) for t in terms),
    )


def terms_of(expression: Expression) -> Iterator[Term]:
    """Every term, from left to right."""
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from terms_of(part)
        case Not(inner):
            yield from terms_of(inner)
        case _:
            yield expression


def select(expression: Expression, fleet: Fleet) -> Devices:
    """The devices that an expression means; a name or a group that is not there means nobody."""
    match expression:
        case Or():
            return _NOBODY.union(*(select(part, fleet) for part in expression.parts))
        case And():
            first, *others = (select(part, fleet) for part in expression.parts)
            return first.intersection(*others)
        case Not():
            return fleet.devices - select(expression.inner, fleet)
        case _:
            return fleet.devices & _meant(expression, fleet)


def check_meant(expression: Expression, fleet: Fleet) -> None:
    """Check that whoever is named is there: a slip of the pen must not mean other devices.

    Raises:
        NotFound: a device or a group that is named is not known; the hint names the closest.
    """
    for term in terms_of(expression):
        if isinstance(term, Named) and not term.name.is_pattern:
            if term.name.text not in fleet.devices:
                raise device_not_found(term.name.text, fleet.devices)
        elif isinstance(term, Grouped) and term.group not in fleet.groups:
            raise group_not_found(term.group, fleet.groups)


def nobody(expression: Expression, fleet: Fleet, known_tags: Iterable[str]) -> NotFound:
    """The error for an expression that means nobody.

    Args:
        expression: that was asked.
        fleet: that it was asked of.
        known_tags: as `KEY=VALUE`, to name the closest.
    """
    if not fleet.devices:
        return NotFound(
            "there are no devices yet",
            hint="start an edge-agent: it becomes known when it first connects",
            code="no_devices",
        )
    empty = next((t for t in _asserted(expression) if not select(t, fleet)), None)
    running = _versions_of(empty, fleet)
    if empty is None:
        hint = "its parts mean devices, but there is none that all of it means"
    elif running:
        hint = f"versions that run there: {', '.join(f'v{number}' for number in running)}"
    elif isinstance(empty, Labelled):
        hint = did_you_mean(write(empty), known_tags)
    else:
        hint = "look at `shoal device list`"
    if running and isinstance(expression, Labelled):
        text = f"no device runs version {expression.value.version} in slot {expression.key}"
    elif isinstance(expression, Labelled):
        text = f"no device has the tag {write(expression)}"
    else:
        text = f"no device matches {write(expression)}"
        if empty is not None and empty is not expression:
            text += f": none matches {write(empty)}"
    return NotFound(text, hint=hint, code="device_not_found")


def _versions_of(term: Term | None, fleet: Fleet) -> list[int]:
    """The versions in the slot that a term asks for by version; none if there is no such slot."""
    if not isinstance(term, Labelled) or term.value.version is None:
        return []
    return sorted({found.version for found in fleet.slots.get(term.key, ())})


def device_not_found(device: str, known: Iterable[str]) -> NotFound:
    """The error for a device that nobody knows."""
    return NotFound(
        f"no device is named {device!r}",
        hint=did_you_mean(device, islice(known, COMPARED)),
        code="device_not_found",
    )


def group_not_found(group: str, known: Mapping[str, object]) -> NotFound:
    """The error for a group that is not there."""
    return NotFound(
        f"no group is named {group!r}",
        hint=did_you_mean(group, known) or "make one with `shoal group add`",
        code="group_not_found",
    )


def _meant(term: Term, fleet: Fleet) -> Devices:
    match term:
        case Everything():
            return fleet.devices
        case Named():
            if term.name.is_pattern:
                return frozenset(filter(term.name.matcher(), fleet.devices))
            return frozenset((term.name.text,))
        case Labelled():
            return _labelled(term, fleet)
        case Tagged():
            return _tagged(term.key, term.value, fleet)
        case Grouped():
            return fleet.groups.get(term.group, _NOBODY)
        case Running():
            is_meant = term.module.matcher()
            return _NOBODY.union(
                *(
                    _running(found, lambda v: is_meant(v.module) and _is(term.version, v))
                    for found in fleet.slots.values()
                )
            )
        case Slotted():
            return _running(fleet.slots.get(term.slot, {}), lambda v: _is(term.version, v))


def _labelled(term: Labelled, fleet: Fleet) -> Devices:
    """Devices with the tag, and those without a tag of that name whose slot runs the version."""
    tagged = _tagged(term.key, term.value, fleet)
    wanted = term.value.version
    if wanted is None:
        return tagged
    running = _running(fleet.slots.get(term.key, {}), lambda v: v.version == wanted)
    return tagged | (running - _tagged(term.key, None, fleet))


def _tagged(key: str, value: Text | None, fleet: Fleet) -> Devices:
    found = fleet.tags.get(key, {})
    is_meant = value.matcher() if value is not None else None
    return _NOBODY.union(*(d for text, d in found.items() if is_meant is None or is_meant(text)))


def _running(found: Mapping[Version, Devices], is_meant: Callable[[Version], bool]) -> Devices:
    return _NOBODY.union(*(devices for version, devices in found.items() if is_meant(version)))


def _is(wanted: int | None, found: Version) -> bool:
    return wanted is None or found.version == wanted


def _asserted(expression: Expression) -> Iterator[Term]:
    """Terms that somebody must match: those under no `not`."""
    match expression:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _asserted(part)
        case Not():
            return
        case _:
            yield expression
