"""Summaries: a device and its slots from what is wanted, reported and measured. Pure."""

from msgspec import Struct
from msgspec.structs import replace

from cloud_sync.fleet.presence import presence
from cloud_sync.resources import DeviceSummary, SlotSummary, Tags
from edge_agent.contract.messages import Health, SlotHealth
from edge_agent.contract.state import DesiredState, Phase, ReportedSlot, ReportedState, WantedSlot


class DeviceFacts(Struct, frozen=True, kw_only=True):
    """Everything that is stored about a device.

    Attributes:
        state: of the last status message, empty if there was none.
        last_seen: seconds since 1970, or None.
        interval_s: between two health reports.
        reported_at: when the reported state came, by the service's clock.
        health_at: when the last health report came.
        health_before: the report before the last, of the same boot.
    """

    device: str
    state: str
    last_seen: float | None
    interval_s: float
    tags: Tags
    desired: DesiredState
    reported: ReportedState | None = None
    reported_at: float | None = None
    health: Health | None = None
    health_at: float | None = None
    health_before: Health | None = None


def summarize(facts: DeviceFacts, now: float) -> DeviceSummary:
    """One line of the fleet's list."""
    running = facts.reported.slots if facts.reported else {}
    names = sorted({*facts.desired.slots, *running})
    return DeviceSummary(
        device=facts.device,
        presence=presence(now, facts.state, facts.last_seen, facts.interval_s),
        last_seen=facts.last_seen,
        age_s=age(now, facts.last_seen),
        revision_wanted=facts.desired.revision,
        revision_applied=facts.reported.revision_applied if facts.reported else -1,
        is_settled=facts.reported is not None
        and all(is_slot_settled(facts.desired.slots.get(n), running.get(n)) for n in names),
        tags=facts.tags,
        slots={name: _slot(facts, name, now) for name in names},
    )


def is_slot_settled(wanted: WantedSlot | None, running: ReportedSlot | None) -> bool:
    """Whether what is wanted runs, proved by the running digest, and nothing else does."""
    if wanted is None:
        return running is None or not running.running
    return (
        running is not None
        and running.running == wanted.digest
        and running.shadows == wanted.shadows
        and running.phase is Phase.ACTIVE
    )


def age(now: float, then: float | None) -> float | None:
    """Seconds since `then`; never negative, also when the clock was set back."""
    return None if then is None else max(0.0, now - then)


def running_at(facts: DeviceFacts, name: str) -> float | None:
    """When a device last said what runs in a slot, seconds since 1970, by the service's clock.

    Its state is reported when it changes, its health again and again: a health report that names
    the same digest confirms it.
    """
    reported = facts.reported.slots.get(name) if facts.reported else None
    if reported is None:
        return None
    health = facts.health.slots.get(name) if facts.health else None
    if health is not None and facts.health_at is not None and health.digest == reported.running:
        return max(facts.health_at, facts.reported_at or 0.0)
    return facts.reported_at


def _slot(facts: DeviceFacts, name: str, now: float) -> SlotSummary:
    wanted = facts.desired.slots.get(name)
    reported = facts.reported.slots.get(name) if facts.reported else None
    health = settled_health(facts, name)
    is_measured = health is not None and health.messages_out > 0
    return SlotSummary(
        module=wanted.module if wanted else reported.module if reported else "",
        wanted_version=wanted.version if wanted else 0,
        running_version=reported.running_version if reported else 0,
        phase=reported.phase.value if reported else "",
        messages_in=health.messages_in if health else 0,
        messages_per_s=_rate(facts, name),
        p50_ms=health.total.p50_ms if health and is_measured else None,
        p99_ms=health.total.p99_ms if health and is_measured else None,
        failed=sum(health.failed.values()) if health else 0,
        error=_trouble(reported, health),
        dropped=sum(health.dropped.values()) if health else 0,
        restarts=health.restarts if health else 0,
        rss_mb=health.rss_mb if health else None,
        memory_mb=health.memory_mb if health else None,
        shadows=wanted.shadows if wanted else "",
        shadow=health.shadow if health else None,
        since=dated(facts, reported.since or None) if reported else None,
        notes=health.notes if health else (),
        running_age_s=age(now, running_at(facts, name)),
    )


def dated(facts: DeviceFacts, moment: float | None) -> float | None:
    """A time of a device's report; by the service's clock if the device's own is not trusted.

    Args:
        facts: with the report.
        moment: a time in it, seconds since 1970.
    """
    report = facts.reported
    if moment is None or report is None or report.clock_synced or facts.reported_at is None:
        return moment
    return moment + facts.reported_at - report.time


def settled_health(facts: DeviceFacts, name: str) -> SlotHealth | None:
    """A slot's last health; a worker that had no time to connect yet counts as connected.

    A device that starts or comes back reports before its workers have connected: only the next
    report tells whether they did, unless the worker says itself why it could not.
    """
    health = facts.health.slots.get(name) if facts.health else None
    before = facts.health_before.slots.get(name) if facts.health_before else None
    if health is None or health.connected or health.error:
        return health
    return replace(health, connected=True) if before is None or before.connected else health


def _trouble(reported: ReportedSlot | None, health: SlotHealth | None) -> str:
    """What keeps a slot from its work, or empty: a failure, or a worker that hears nothing."""
    if reported is not None and reported.error is not None:
        return f"{reported.error.code}: {reported.error.text}"
    if health is None or health.connected:
        return ""
    return f"not_connected: {health.error or 'its worker has no connection to the broker'}"


def _rate(facts: DeviceFacts, name: str) -> float | None:
    """Messages a second between the last two reports, by the clock that no step disturbs."""
    if facts.health is None or facts.health_before is None:
        return None
    last = facts.health.slots.get(name)
    before = facts.health_before.slots.get(name)
    seconds = facts.health.uptime_s - facts.health_before.uptime_s
    if last is None or before is None or seconds <= 0 or not _same_worker(before, last):
        return None
    return (last.messages_in - before.messages_in) / seconds


def _same_worker(before: SlotHealth, last: SlotHealth) -> bool:
    """Counters begin again with each worker."""
    return before.pid == last.pid and last.messages_in >= before.messages_in
