"""What Prometheus reads, as Prometheus' own parser understands it."""

import os
import time

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from edge_agent.contract.messages import (
    BATCH_BOUNDS,
    TIME_BOUNDS_MS,
    BatchSizes,
    OutboxHealth,
    ShadowHealth,
    Timing,
)
from edge_agent.daemon.http.metrics import exposition
from edge_agent.daemon.http.tally import Tally
from edge_agent.daemon.status import AgentStatus, LinkStatus, SlotStatus
from tests.support.http_front import slot_status

TIMES = (0, 3, *(0 for _ in TIME_BOUNDS_MS[2:]), 1)
ROWS = (5, *(0 for _ in BATCH_BOUNDS[1:]), 2)
BUSY = slot_status(
    version=4,
    pid=os.getpid(),
    restarts=2,
    crashes={"worker_hung": 1},
    messages_in=10,
    messages_out=7,
    failed={"not_json": 2, 'odd"code\n': 1},
    dropped={"deadline": 1},
    total=Timing(count=4, sum_ms=9000.0, buckets=TIMES),
    batches=BatchSizes(runs=7, rows=5000, largest=2048, buckets=ROWS),
    waiting=3,
    runs_on=("CPUExecutionProvider",),
    threads=2,
)
SHADOW = slot_status(
    version=5,
    shadow=ShadowHealth(
        of="busy", version=4, seen=9, shed={"cpu": 4}, agreed=8, max_difference=0.25, psi=None
    ),
)


def status(slots: dict[str, SlotStatus]) -> AgentStatus:
    return AgentStatus(
        device="line-1",
        boot_id="b",
        version="1.2.3",
        pid=os.getpid(),
        time=time.time(),
        uptime_s=12.0,
        cloud=LinkStatus(url="", broker="", is_connected=False),
        revision_seen=9,
        revision_applied=8,
        slots=slots,
        outbox_rows=5,
        outbox_dropped=6,
        outbox_resent=2,
        outbox={"alarm": OutboxHealth(rows=5, bytes=700, dropped={"quota": 6})},
        disk_free_mb=2.0,
        clock_synced=False,
    )


def read(slots: dict[str, SlotStatus], tally: Tally | None = None) -> dict[str, float]:
    """Every sample: its name and labels, sorted, to its value."""
    body, content_type = exposition(status(slots), tally or Tally(), "")
    assert content_type.startswith("text/plain")
    found: dict[str, float] = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            assert f"{sample.name} {labels}" not in found
            found[f"{sample.name} {labels}"] = sample.value
    return found


SLOT = "module=forest,slot=busy,version=4"


def test_the_agent_says_how_it_is() -> None:
    found = read({})
    assert found["shoal_agent_info device=line-1,version=1.2.3"] == 1
    assert found["shoal_agent_uptime_seconds "] == 12
    assert found["shoal_agent_cpu_seconds_total "] > 0
    assert found["shoal_agent_resident_memory_bytes "] > 2**20
    assert found["shoal_cloud_connected "] == 0
    assert (found["shoal_revision_wanted "], found["shoal_revision_applied "]) == (9, 8)
    assert found["shoal_outbox_rows class=alarm"] == 5
    assert found["shoal_outbox_bytes class=alarm"] == 700
    assert found["shoal_outbox_dropped_rows_total class=alarm,reason=quota"] == 6
    assert found["shoal_outbox_resent_rows_total "] == 2
    assert found["shoal_disk_free_bytes "] == 2 * 2**20
    assert found["shoal_disk_low "] == 0
    assert found["shoal_clock_synced "] == 0


def test_a_slot_says_what_it_did_with_its_messages() -> None:
    found = read({"busy": BUSY})
    assert found[f"shoal_slot_received_messages_total {SLOT}"] == 10
    assert found[f"shoal_slot_answered_messages_total {SLOT}"] == 7
    assert found[f"shoal_slot_failed_messages_total code=not_json,{SLOT}"] == 2
    assert found[f'shoal_slot_failed_messages_total code=odd"code\n,{SLOT}'] == 1
    assert found[
        f"shoal_slot_dropped_messages_total {SLOT.replace('slot', 'reason=deadline,slot')}"
    ]
    assert found[f"shoal_slot_waiting_messages {SLOT}"] == 3
    assert found[f"shoal_slot_restarts_total {SLOT}"] == 2
    assert found[f"shoal_slot_crashes_total code=worker_hung,{SLOT}"] == 1
    assert found[f"shoal_slot_resident_memory_bytes {SLOT}"] > 2**20
    assert found[f"shoal_slot_cpu_seconds_total {SLOT}"] > 0
    assert found[f"shoal_slot_run_threads {SLOT}"] == 2
    assert found["shoal_slot_phase phase=active,slot=busy"] == 1
    assert found["shoal_slot_phase phase=failed,slot=busy"] == 0
    assert found["shoal_slot_worker_state slot=busy,state=running"] == 1
    assert found["shoal_slot_version slot=busy,which=wanted"] == 4


def test_distributions_are_histograms_whose_buckets_hold_those_below() -> None:
    found = read({"busy": BUSY})
    labels = "module=forest,slot=busy,version=4"
    bucket = f"shoal_slot_total_seconds_bucket le={{}},{labels}"
    assert found[bucket.format("5e-05")] == 0
    assert found[bucket.format("0.0001")] == 3
    assert found[bucket.format("2.5")] == 3
    assert found[bucket.format("+Inf")] == 4
    assert found[f"shoal_slot_total_seconds_count {labels}"] == 4
    assert found[f"shoal_slot_total_seconds_sum {labels}"] == 9.0
    rows = f"shoal_slot_batch_rows_bucket le={{}},{labels}"
    assert found[rows.format("1.0")] == 5
    assert found[rows.format("1024.0")] == 5
    assert found[rows.format("+Inf")] == 7
    assert found[f"shoal_slot_batch_rows_sum {labels}"] == 5000


def test_a_stage_that_nothing_went_through_is_empty_and_not_missing() -> None:
    found = read({"busy": BUSY})
    labels = "module=forest,slot=busy,version=4"
    for stage in ("queue", "decode", "run", "encode", "age"):
        assert found[f"shoal_slot_{stage}_seconds_count {labels}"] == 0


def test_a_shadow_says_how_it_compares() -> None:
    found = read({"next": SHADOW})
    labels = "module=forest,of=busy,of_version=4,slot=next,version=5"
    assert found[f"shoal_shadow_messages_total {labels}"] == 9
    assert found[f"shoal_shadow_agreed_messages_total {labels}"] == 8
    shed = "module=forest,of=busy,of_version=4,reason=cpu,slot=next,version=5"
    assert found[f"shoal_shadow_shed_messages_total {shed}"] == 4
    assert found[f"shoal_shadow_max_difference {labels}"] == 0.25
    assert not any(name.startswith("shoal_shadow_psi") for name in found)  # not known yet


def test_a_slot_without_a_worker_has_a_phase_and_no_counters() -> None:
    found = read({"none": slot_status(has_worker=False)})
    assert found["shoal_slot_phase phase=active,slot=none"] == 1
    assert not any("messages" in name for name in found)


def test_the_server_counts_its_own_answers() -> None:
    tally = Tally()
    tally.count("infer", 200, 0.0003)
    tally.count("infer", 200, 99.0)
    tally.count("unknown", 404, 0.1)
    found = read({}, tally)
    assert found["shoal_http_requests_total asks=infer,status=200"] == 2
    assert found["shoal_http_requests_total asks=unknown,status=404"] == 1
    assert found["shoal_http_infer_seconds_bucket le=0.0005"] == 1
    assert found["shoal_http_infer_seconds_bucket le=+Inf"] == 2


def test_who_asks_for_openmetrics_gets_it() -> None:
    body, content_type = exposition(
        status({"busy": BUSY, "next": SHADOW}), Tally(), "application/openmetrics-text"
    )
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert len(list(parse_openmetrics(body.decode()))) > 30
