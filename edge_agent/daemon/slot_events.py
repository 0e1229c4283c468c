"""The event that tells a person what became of a slot. Pure: it decides, others send."""

from typing import Final

from edge_agent.contract.messages import Event
from edge_agent.contract.state import Phase, SlotError
from edge_agent.runtime.protocol import (
    WorkerBeganEmpty,
    WorkerEvent,
    WorkerPoison,
    WorkerRival,
    WorkerSpec,
)
from edge_agent.store.slots import Installed, SlotRecord

_FAILURES: Final = frozenset({Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK})
_SETTLED: Final = frozenset({Phase.ACTIVE, Phase.ABSENT, *_FAILURES})


def slot_event(before: SlotRecord, after: SlotRecord) -> Event | None:
    """The event of a change of a slot's record, or None where it is not worth one.

    Its text and its `detail` name the version that the change is about, and `replaces` the one
    that answered before a version became active, or that goes on answering after a failure.
    """
    if after.phase == before.phase or after.phase not in _SETTLED:
        return None
    is_failure = after.phase in _FAILURES
    # A slot that is removed forgets its target in the same step, or has done so before.
    version = after.target or before.target or before.serving
    other = after.active if is_failure else before.active
    if other == version or after.phase is Phase.ABSENT:
        other = None
    error = after.error
    return Event(
        name=f"slot_{after.phase.value}",
        level="error" if is_failure else "info",
        text=_text(after, version, other),
        detail={
            "module": version.module if version else "",
            "version": str(version.version) if version else "",
            "replaces": _named(other) if other and not is_failure else "",
            "running": _named(other) if other and is_failure else "",
            "step": error.step if error else "",
        },
    )


def crash_event(version: Installed, failure: SlotError) -> Event:
    """The event of a worker's process that ended by itself."""
    return Event(
        name="worker_crashed",
        level="error",
        text=f"{_named(version)}: {failure.code}: {failure.text}",
        detail={"module": version.module, "version": str(version.version)},
    )


def worker_event(spec: WorkerSpec, said: WorkerEvent) -> Event | None:
    """The event of what a live worker said; None if it is of no interest beyond this device."""
    match said:
        case WorkerPoison():
            return _poison_event(spec, said)
        case WorkerRival(text=text):
            return Event(
                name="client_id_taken",
                level="error",
                text=f"{spec.slot}, version {spec.version}: {text}",
                detail={"version": str(spec.version), "client_id": spec.client_id},
            )
        case WorkerBeganEmpty(text=text):
            return Event(
                name="state_began_empty",
                level="warning",
                text=f"{spec.slot}, version {spec.version}: {text}",
                detail={"version": str(spec.version)},
            )
    return None


def _poison_event(spec: WorkerSpec, found: WorkerPoison) -> Event:
    """The event of a message that ended one process after the other."""
    return Event(
        name="message_poisonous",
        level="error",
        text=(
            f"{spec.slot}, version {spec.version}: a message of {found.bytes} bytes on "
            f"{found.topic!r} ended {found.deaths} processes; it is refused from now on"
        ),
        detail={"version": str(spec.version), "topic": found.topic},
    )


def _text(after: SlotRecord, version: Installed | None, other: Installed | None) -> str:
    name = _named(version) if version else "a version that is not known"
    if after.phase is Phase.ABSENT:
        return f"{name} was removed"
    if after.phase is Phase.ACTIVE:
        role = f" as a shadow of {version.shadows}" if version and version.shadows else ""
        return f"{name} is active{role}" + (f", replaces {_described(other)}" if other else "")
    why = f": {after.error.code}: {after.error.text}" if after.error else ""
    return f"{name}{f', {_named(other)} runs' if other else ''}{why}"


def _described(version: Installed) -> str:
    return f"the shadow {_named(version)}" if version.shadows else _named(version)


def _named(version: Installed) -> str:
    return f"{version.module}/{version.version}"
