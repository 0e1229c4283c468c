"""What `edge-agent status` prints: every figure, in lines that fit."""

import pytest
from msgspec.structs import replace

from edge_agent.contract.messages import (
    BatchSizes,
    OutboxHealth,
    ShadowHealth,
    SlotHealth,
    Timing,
)
from edge_agent.contract.state import Phase, ReportedSlot, SlotError
from edge_agent.daemon.status import AgentStatus, LinkStatus, SlotStatus
from edge_agent.daemon.status_text import COLUMNS, status_lines
from edge_agent.reconcile.progress import Progress

TIMING = Timing(p50_ms=0.42, p99_ms=12.3, max_ms=20.0, count=100, sum_ms=50.0)
WORKER = SlotHealth(
    module="shuttle",
    version=2,
    digest="d",
    state="running",
    messages_in=120,
    messages_out=110,
    failed={"field_missing": 4, "payload_invalid": 1},
    dropped={"deadline": 5},
    waiting=3,
    restarts=2,
    crashes={"crashed": 1, "worker_hung": 1},
    last_crash="worker_hung: nothing was heard of the process for 20 s",
    total=TIMING,
    queue=TIMING,
    decode=TIMING,
    run=TIMING,
    encode=TIMING,
    batches=BatchSizes(runs=50, rows=110, largest=9),
    runs_on=("CUDAExecutionProvider", "CPUExecutionProvider"),
    threads=2,
    notes=("its windows began empty",),
    rss_mb=61.4,
)
SHADOW = ShadowHealth(
    of="shuttle", version=2, seen=100, agreed=90, failed=1, max_difference=0.25, psi=0.0123,
    shed={"full": 7, "too_large": 1}, cpu_share=0.05,
)  # fmt: skip


def status_of(**slots: SlotStatus) -> AgentStatus:
    return AgentStatus(
        device="line-1",
        boot_id="b",
        version="1",
        pid=1,
        time=1.0,
        uptime_s=130.0,
        cloud=LinkStatus(url="", broker="mqtt://broker", is_connected=True),
        revision_seen=4,
        revision_applied=3,
        slots=slots,
        outbox_rows=0,
        outbox_dropped=0,
        disk_free_mb=1.0,
        clock_synced=True,
    )


def slot(worker: SlotHealth | None = WORKER, **options) -> SlotStatus:
    state = ReportedSlot(
        **{"module": "shuttle", "phase": Phase.ACTIVE, "running_version": 2, "wanted_version": 2,
           **options}
    )  # fmt: skip
    return SlotStatus(state=state, worker=worker, is_busy=False)


def row_of(lines: list[str], table: int, name: str) -> list[str]:
    """The cells of the line that begins with `name`, the n-th of them."""
    return [line.split() for line in lines if line.split()[:1] == [name]][table]


def test_the_outbox_says_what_it_dropped_and_why():
    status = replace(
        status_of(),
        outbox_rows=7,
        outbox_dropped=5,
        outbox_resent=2,
        outbox={
            "alarm": OutboxHealth(rows=3),
            "result": OutboxHealth(rows=4, dropped={"full": 4, "memory": 1}),
        },
    )
    (line,) = [line for line in status_lines(status) if line.startswith("outbox")]
    assert line.split(maxsplit=1)[1] == (
        "7 rows wait, 2 sent again, dropped: 4 result (full), 1 result (memory)"
    )


def test_a_disk_that_is_low_says_what_that_means():
    said = "1 MB free, low: nothing is downloaded or captured until there is more"
    assert f"disk      {said}" in status_lines(replace(status_of(), disk_low=True))
    assert "disk      1 MB free" in status_lines(status_of())


def test_a_download_says_how_far_it_is():
    fetching = replace(
        slot(None, phase=Phase.FETCHING, wanted_version=3),
        progress=Progress(bytes_here=12_340_000, bytes_total=40_000_000),
    )
    lines = list(status_lines(status_of(shuttle=fetching)))
    assert "shuttle: version 3 is being fetched: 30 %, 12.3 of 40.0 MB" in lines


def test_every_figure_of_a_slot_is_shown():
    lines = list(status_lines(status_of(shuttle=slot())))
    assert row_of(lines, 0, "shuttle") == [
        "shuttle", "2", "active", "running", "120", "110", "5", "5", "3", "61", "MB",
    ]  # fmt: skip
    times = row_of(lines, 1, "shuttle")
    assert times[1:7] == ["0.42/12.3"] * 5 + ["-"]
    assert times[7:] == ["2.2,", "<=", "9"]


def test_reasons_restarts_crashes_and_notes_are_sentences():
    text = "\n".join(status_lines(status_of(shuttle=slot())))
    for part in (
        "shuttle: runs on cuda, cpu, 2 threads",
        "shuttle: failed: field_missing 4, payload_invalid 1",
        "shuttle: dropped: deadline 5",
        "shuttle: started again 2 times; ended by itself: crashed 1, worker_hung 1; last: worker_",
        "shuttle: its windows began empty",
    ):
        assert part in text


def test_a_shadow_says_how_it_compares():
    worker = replace(WORKER, shadow=SHADOW)
    text = " ".join(" ".join(status_lines(status_of(**{"x-shadow": slot(worker)}))).split())
    assert "x-shadow: module shuttle" in text
    assert (
        "shadows shuttle (version 2); agrees on 90 of 100 messages, one of both failed on 1, "
        "largest difference 0.25, PSI 0.012, 5.0% of a core"
    ) in text
    assert "left out: full 7, too_large 1" in text


def test_a_shadow_that_has_seen_nothing_says_so():
    worker = replace(WORKER, shadow=ShadowHealth(of="shuttle"))
    assert any(
        "shadows shuttle; has compared nothing yet" in line
        for line in status_lines(status_of(shuttle=slot(worker)))
    )


def test_a_version_that_is_not_there_yet_is_shown_beside_the_one_that_runs():
    found = slot(wanted_version=3, phase=Phase.FETCHING)
    assert "3 -> 2" in "\n".join(status_lines(status_of(shuttle=found)))
    nothing = slot(None, running_version=0, phase=Phase.REJECTED)
    assert "2 -> -" in "\n".join(status_lines(status_of(shuttle=nothing)))


def test_a_slot_that_waits_its_turn_says_for_how_long_and_why():
    waiting = slot(None, phase=Phase.FETCHING, next_retry=18.0)
    lines = list(status_lines(status_of(shuttle=waiting)))
    assert "shuttle: waits 17 s, so that a fleet does not ask at once" in lines
    failed = slot(None, phase=Phase.FAILED, next_retry=18.0)
    assert "a fleet" not in "\n".join(status_lines(status_of(shuttle=failed)))


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK])
def test_a_slot_that_did_not_get_there_says_why_and_what_follows(phase: Phase) -> None:
    error = SlotError(code="cloud_unreachable", text="no route to http://cloud", step="fetch")
    found = slot(None, phase=phase, error=error, next_retry=91.0)
    text = " ".join(" ".join(status_lines(status_of(shuttle=found))).split())
    assert (
        "shuttle: cloud_unreachable: no route to http://cloud; next try in 90 s "
        "what to do: edge-agent explain shuttle"
    ) in text
    final = slot(None, phase=phase, error=error)
    text = " ".join(" ".join(status_lines(status_of(shuttle=final))).split())
    assert "http://cloud what to do: edge-agent explain shuttle" in text


def test_an_error_of_an_earlier_attempt_is_not_shown_as_one_of_now() -> None:
    error = SlotError(code="cloud_unreachable", text="no route", step="fetch")
    found = slot(None, phase=Phase.TRIAL, error=error)
    assert "no route" not in "\n".join(status_lines(status_of(shuttle=found)))


def test_a_slot_that_waits_for_another_agent_of_its_name_is_not_shown_as_at_work() -> None:
    waiting = status_of(shuttle=slot(None, phase=Phase.FETCHING))
    link = replace(waiting.cloud, conflict="two of them")
    assert row_of([*status_lines(waiting)], 0, "shuttle")[2] == "fetching"
    assert row_of([*status_lines(replace(waiting, cloud=link))], 0, "shuttle")[2] == "waits"
    running = replace(status_of(shuttle=slot()), cloud=link)
    assert row_of([*status_lines(running)], 0, "shuttle")[2] == "active"


def test_a_long_error_is_cut_and_its_lines_fit() -> None:
    error = SlotError(code="trial_errors", text="Gather\n" * 200, step="trial")
    lines = list(status_lines(status_of(shuttle=slot(phase=Phase.ROLLED_BACK, error=error))))
    assert max(map(len, lines)) <= COLUMNS
    assert sum(line.count("Gather") for line in lines) < 40
    assert "  what to do: edge-agent explain shuttle" in lines


def test_a_worker_without_its_broker_says_so():
    lines = list(status_lines(status_of(shuttle=slot(replace(WORKER, connected=False)))))
    assert row_of(lines, 0, "shuttle")[3:5] == ["no", "broker"]


def test_no_line_is_wider_than_a_hundred_characters():
    huge = replace(
        WORKER,
        messages_in=10**12,
        messages_out=10**12,
        failed={f"code_number_{number}": 10**9 for number in range(20)},
        dropped={"deadline": 10**10},
        waiting=1000,
        connected=False,
        total=replace(TIMING, p50_ms=1234.5, p99_ms=12345.6),
        rss_mb=12345.0,
        notes=("a long note " * 30,),
        shadow=SHADOW,
    )
    name = "a" * 63
    lines = list(
        status_lines(status_of(**{name: slot(huge, phase=Phase.ROLLED_BACK, wanted_version=345)}))
    )
    assert max(map(len, lines)) <= COLUMNS
    assert f"{name}: failed" in "\n".join(lines)


def test_without_slots_it_says_so():
    assert list(status_lines(status_of()))[-1] == "slots     none"


def test_why_a_worker_has_no_broker_is_told() -> None:
    reason = "another client uses the name 'line-1_probe' on 10.0.0.5:1883"
    lines = status_lines(status_of(probe=slot(replace(WORKER, connected=False, error=reason))))
    assert f"probe: {reason}" in [*lines]
