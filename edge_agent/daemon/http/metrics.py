"""Everything that is known about the agent and its slots, as Prometheus metrics.

Names follow Prometheus' conventions: seconds and bytes, `_total` for what only goes up. Counters
of a slot are those of its worker's process, so they begin anew when it does. Pure but for the
processes' memory and time, which are read where `exposition` is called.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge_agent.contract.messages import (
    BATCH_BOUNDS,
    TIME_BOUNDS_MS,
    BatchSizes,
    ShadowHealth,
    SlotHealth,
    Timing,
)
from edge_agent.contract.state import Phase
from edge_agent.daemon.http.tally import Tally
from edge_agent.daemon.machine import cpu_seconds, rss_mb
from edge_agent.daemon.status import AgentStatus

_MIB: Final = 2**20
_SLOT: Final = ("slot", "module", "version")
_STATES: Final = ("starting", "running", "stopped", "crashed")

_Labels = tuple[str, ...]
_Workers = dict[_Labels, SlotHealth]

_STAGES: Final = (
    ("queue", "From receipt until work on a message began."),
    ("decode", "From a message's bytes to tensors."),
    ("run", "The model alone, of one run."),
    ("encode", "From outputs to bytes."),
    ("total", "From receipt to the publish call."),
    ("age", "At the answer, by the time that the message says it was measured at."),
)


def exposition(status: AgentStatus, tally: Tally, accept: str) -> tuple[bytes, str]:
    """The metrics in the format that the reader asks for.

    Args:
        status: of the agent.
        tally: of this server.
        accept: the request's header, empty if it has none.

    Returns:
        The text and its content type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Reading(status, tally))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Reading(Collector):
    def __init__(self, status: AgentStatus, tally: Tally) -> None:
        self._status = status
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        yield from _agent(self._status)
        yield from _server(self._tally)
        workers: _Workers = {
            (name, slot.worker.module, str(slot.worker.version)): slot.worker
            for name, slot in self._status.slots.items()
            if slot.worker is not None
        }
        yield from _slots(self._status)
        yield from _messages(workers)
        yield from _processes(workers)
        yield from _distributions(workers)
        yield from _shadows(
            {labels: worker.shadow for labels, worker in workers.items() if worker.shadow}
        )


def _agent(status: AgentStatus) -> Iterator[Metric]:
    info = InfoMetricFamily("shoal_agent", "Which agent this is.")
    info.add_metric((), {"device": status.device, "version": status.version})
    yield info
    yield _gauge("shoal_agent_uptime_seconds", "Since it started.", status.uptime_s)
    yield _counter("shoal_agent_cpu_seconds", "Processor time used.", cpu_seconds(status.pid))
    yield _gauge(
        "shoal_agent_resident_memory_bytes", "Memory of its process.", rss_mb(status.pid) * _MIB
    )
    yield _gauge(
        "shoal_cloud_connected", "1 if the way to the cloud is open.", status.cloud.is_connected
    )
    yield _gauge("shoal_revision_wanted", "Newest desired state seen.", status.revision_seen)
    yield _gauge("shoal_revision_applied", "Newest one fully applied.", status.revision_applied)
    yield from _outbox(status)
    yield _gauge(
        "shoal_disk_free_bytes", "On the disk of the state folder.", status.disk_free_mb * _MIB
    )
    yield _gauge("shoal_disk_low", "1 if nothing is downloaded for want of room.", status.disk_low)
    yield _gauge("shoal_clock_synced", "1 if the kernel trusts its clock.", status.clock_synced)


def _outbox(status: AgentStatus) -> Iterator[Metric]:
    rows = GaugeMetricFamily(
        "shoal_outbox_rows", "Rows that wait for the cloud.", labels=("class",)
    )
    size = GaugeMetricFamily("shoal_outbox_bytes", "Of their data.", labels=("class",))
    dropped = CounterMetricFamily(
        "shoal_outbox_dropped_rows", "Rows that found no room.", labels=("class", "reason")
    )
    for name, found in status.outbox.items():
        rows.add_metric((name,), found.rows)
        size.add_metric((name,), found.bytes)
        for reason, count in found.dropped.items():
            dropped.add_metric((name, reason), count)
    yield rows
    yield size
    yield dropped
    yield _counter("shoal_outbox_resent_rows", "Rows sent once more.", status.outbox_resent)


def _server(tally: Tally) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "shoal_http_requests", "Requests answered by this server.", labels=("asks", "status")
    )
    for (asks, status), count in sorted(tally.answered.items()):
        requests.add_metric((asks, str(status)), count)
    yield requests
    seconds = HistogramMetricFamily(
        "shoal_http_infer_seconds", "From the whole request to its answer."
    )
    seconds.add_metric((), _cumulative(_SECONDS, tally.infer_buckets), tally.infer_s)
    yield seconds
    yield _gauge("shoal_http_connections", "Open now.", tally.connections)
    yield _counter(
        "shoal_http_refused_connections", "Sent away: too many.", tally.refused_connections
    )


def _slots(status: AgentStatus) -> Iterator[Metric]:
    phases = GaugeMetricFamily(
        "shoal_slot_phase", "1 for the phase that a slot is in.", labels=("slot", "phase")
    )
    states = GaugeMetricFamily(
        "shoal_slot_worker_state", "1 for the state of a slot's worker.", labels=("slot", "state")
    )
    versions = GaugeMetricFamily(
        "shoal_slot_version", "Version of the module: what runs, what should.",
        labels=("slot", "which"),
    )  # fmt: skip
    for name, slot in status.slots.items():
        for phase in Phase:
            phases.add_metric((name, phase.value), slot.state.phase is phase)
        versions.add_metric((name, "running"), slot.state.running_version)
        versions.add_metric((name, "wanted"), slot.state.wanted_version)
        if slot.worker is not None:
            for state in _STATES:
                states.add_metric((name, state), slot.worker.state == state)
    yield from (phases, states, versions)


def _messages(workers: _Workers) -> Iterator[Metric]:
    received = _family_counter("received_messages", "Messages and requests received.")
    answered = _family_counter("answered_messages", "Results given, errors not counted.")
    failed = _family_counter("failed_messages", "Messages answered with an error.", "code")
    dropped = _family_counter("dropped_messages", "Messages left out on purpose.", "reason")
    waiting = _family_gauge("waiting_messages", "In the queue now.")
    connected = _family_gauge("connected", "1 if its worker's broker is there.")
    for labels, worker in workers.items():
        received.add_metric(labels, worker.messages_in)
        answered.add_metric(labels, worker.messages_out)
        for code, count in sorted(worker.failed.items()):
            failed.add_metric((*labels, code), count)
        for reason, count in sorted(worker.dropped.items()):
            dropped.add_metric((*labels, reason), count)
        waiting.add_metric(labels, worker.waiting)
        connected.add_metric(labels, worker.connected)
    yield from (received, answered, failed, dropped, waiting, connected)


def _processes(workers: _Workers) -> Iterator[Metric]:
    restarts = _family_counter("restarts", "Starts of its worker after the first.")
    crashes = _family_counter("crashes", "Ends of its worker's process by itself.", "code")
    memory = _family_gauge("resident_memory_bytes", "Resident memory of its worker's process.")
    share = _family_gauge(
        "share_of_memory_bytes", "The same, with what processes share counted for each in part."
    )
    spent = _family_counter("cpu_seconds", "Processor time of its worker's process.")
    threads = _family_gauge("run_threads", "Threads of one run.")
    provider = _family_gauge("provider", "1 for what the model runs on.", "provider")
    for labels, worker in workers.items():
        restarts.add_metric(labels, worker.restarts)
        for code, count in sorted(worker.crashes.items()):
            crashes.add_metric((*labels, code), count)
        memory.add_metric(labels, (rss_mb(worker.pid) if worker.pid else worker.rss_mb) * _MIB)
        if worker.pss_mb is not None:
            share.add_metric(labels, worker.pss_mb * _MIB)
        spent.add_metric(labels, cpu_seconds(worker.pid) if worker.pid else 0.0)
        threads.add_metric(labels, worker.threads)
        for name in worker.runs_on:
            provider.add_metric((*labels, name), 1)
    yield from (restarts, crashes, memory, share, spent, threads, provider)


def _distributions(workers: _Workers) -> Iterator[Metric]:
    for stage, text in _STAGES:
        family = HistogramMetricFamily(f"shoal_slot_{stage}_seconds", text, labels=_SLOT)
        for labels, worker in workers.items():
            timing: Timing = getattr(worker, stage)
            family.add_metric(labels, _cumulative(_SECONDS, timing.buckets), timing.sum_ms / 1e3)
        yield family
    rows = HistogramMetricFamily(
        "shoal_slot_batch_rows", "Rows that went into the model at once.", labels=_SLOT
    )
    for labels, worker in workers.items():
        batches: BatchSizes = worker.batches
        rows.add_metric(labels, _cumulative(_ROWS, batches.buckets), batches.rows)
    yield rows


def _shadows(shadows: dict[_Labels, ShadowHealth]) -> Iterator[Metric]:
    if not shadows:
        return
    labels = (*_SLOT, "of", "of_version")
    seen = CounterMetricFamily("shoal_shadow_messages", "Messages answered, too.", labels=labels)
    agreed = CounterMetricFamily("shoal_shadow_agreed_messages", "With the same.", labels=labels)
    failed = CounterMetricFamily(
        "shoal_shadow_failed_messages", "That only one of the two could answer.", labels=labels
    )
    shed = CounterMetricFamily(
        "shoal_shadow_shed_messages", "Left out.", labels=(*labels, "reason")
    )
    difference = GaugeMetricFamily(
        "shoal_shadow_max_difference", "Largest of a number in any output.", labels=labels
    )
    psi = GaugeMetricFamily(
        "shoal_shadow_psi", "Population stability index of the scores.", labels=labels
    )
    share = GaugeMetricFamily(
        "shoal_shadow_cpu_share", "Of one core that it used, 0 to 1.", labels=labels
    )
    for slot, shadow in shadows.items():
        values = (*slot, shadow.of, str(shadow.version))
        seen.add_metric(values, shadow.seen)
        agreed.add_metric(values, shadow.agreed)
        failed.add_metric(values, shadow.failed)
        for reason, count in sorted(shadow.shed.items()):
            shed.add_metric((*values, reason), count)
        difference.add_metric(values, shadow.max_difference)
        if shadow.psi is not None:
            psi.add_metric(values, shadow.psi)
        share.add_metric(values, shadow.cpu_share)
    yield from (seen, agreed, failed, shed, difference, psi, share)


_SECONDS: Final = (*(str(bound / 1e3) for bound in TIME_BOUNDS_MS), "+Inf")
_ROWS: Final = (*(str(float(bound)) for bound in BATCH_BOUNDS), "+Inf")


def _cumulative(bounds: tuple[str, ...], counts: Iterable[int]) -> list[tuple[str, float]]:
    """Prometheus' buckets, each of which counts all that are below its bound."""
    found = [*counts] or [0] * len(bounds)
    total, buckets = 0, []
    for bound, count in zip(bounds, found, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def _family_gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"shoal_slot_{name}", text, labels=(*_SLOT, *labels))


def _family_counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"shoal_slot_{name}", text, labels=(*_SLOT, *labels))
