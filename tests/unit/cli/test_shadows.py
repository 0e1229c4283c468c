"""How shadows and the figures of slots are drawn."""

import pytest
from msgspec.structs import replace

from cloud_sync.cli.numbers import print_numbers
from cloud_sync.cli.shadows import print_shadows
from cloud_sync.resources import DeviceDetail, DeviceSummary, SlotSummary
from edge_agent.contract.messages import BatchSizes, Health, ShadowHealth, SlotHealth, Timing
from edge_agent.contract.state import DesiredState

LIVE = SlotSummary(
    module="shuttle", wanted_version=2, running_version=2, phase="active", messages_in=120,
    messages_per_s=1.0, p50_ms=0.42, p99_ms=1.5, failed=0, error="", memory_mb=61.4,
)  # fmt: skip
SHADOW = replace(
    LIVE,
    running_version=3,
    messages_in=100,
    p50_ms=0.05,
    restarts=1,
    memory_mb=58.0,
    shadows="shuttle",
    shadow=ShadowHealth(
        of="shuttle", version=2, seen=1000, agreed=999, failed=2, max_difference=0.25,
        psi=0.31, shed={"full": 20, "window": 1}, cpu_share=0.05,
    ),
    notes=("slot shuttle runs this same version by now",),
)  # fmt: skip
NOW = 1000.0
TIMING = Timing(p50_ms=0.42, p99_ms=12.3, max_ms=20.0, count=100)


def summary(presence: str = "online", **slots: SlotSummary) -> DeviceSummary:
    return DeviceSummary(
        device="line-1", presence=presence, last_seen=1.0, age_s=300.0, revision_wanted=1,
        revision_applied=1, is_settled=True, tags={}, slots=slots,
    )  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], device: DeviceSummary) -> list[str]:
    print_shadows(device, interval_s=30.0, now=NOW)
    return capsys.readouterr().out.splitlines()


def test_a_shadow_stands_beside_its_slot(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, summary(shuttle=LIVE, **{"shuttle-shadow": SHADOW}))
    compared = lines[1].split()
    assert compared[:4] == ["shuttle-shadow", "shuttle/2", "1,000", "21"]
    assert compared[4:] == ["99.9", "%", "2", "0.25", "0.310", "5.0", "%"]
    live = next(line for line in lines if line.startswith("shuttle ")).split()
    own = next(line for line in lines[3:] if line.startswith("shuttle-shadow ")).split()
    assert live[1:] == ["shuttle/2", "answers", "120", "0", "0.42/1.5", "61", "MB", "0"]
    assert own[1:] == ["shuttle/3", "shadow", "100", "0", "0.05/1.5", "58", "MB", "1"]
    assert "shuttle-shadow: 20 messages left out: it had no processor time left for them" in lines
    assert "shuttle-shadow: slot shuttle runs this same version by now" in lines
    assert max(map(len, lines)) <= 100


def test_a_shadow_without_a_report_and_a_silent_device_say_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    waiting = replace(SHADOW, shadow=None, notes=())
    lines = shown(capsys, summary("offline", **{"shuttle-shadow": waiting}))
    assert lines[1].split() == ["shuttle-shadow", "shuttle", *["-"] * 7]
    assert "line-1 is offline: last seen 5 min ago" in lines


def test_a_shadow_without_figures_says_when_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = replace(SHADOW, shadow=None, notes=(), since=NOW - 5)
    comes = "they come with the next health report, every 30 s"
    lines = shown(capsys, summary(**{"shuttle-shadow": waiting}))
    assert f"shuttle-shadow: no figures yet, active for 5 s; {comes}" in lines
    assert max(map(len, lines)) <= 100
    unknown = replace(waiting, phase="", since=None)
    lines = shown(capsys, summary(**{"shuttle-shadow": unknown}))
    assert f"shuttle-shadow: no figures yet, not reported yet; {comes}" in lines
    print_shadows(summary(**{"shuttle-shadow": waiting}), interval_s=None, now=NOW)
    assert "next health report\n" in capsys.readouterr().out


def test_a_device_without_shadows_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "shoal deploy MODULE --shadow" in shown(capsys, summary(shuttle=LIVE))[0]


def detail(slots: dict[str, SlotHealth] | None) -> DeviceDetail:
    health = None
    if slots is not None:
        health = Health(
            device="line-1", boot_id="b", time=1.0, uptime_s=1.0, interval_s=30.0, slots=slots
        )
    return DeviceDetail(
        summary=summary(),
        desired=DesiredState(device="line-1", revision=1),
        reported=None,
        reported_age_s=None,
        health=health,
        health_age_s=1.0,
    )


def test_every_figure_of_a_slot_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    worker = SlotHealth(
        module="shuttle", version=2, digest="d", state="running", messages_in=1200,
        messages_out=1100, failed={"field_missing": 60}, dropped={"deadline": 40}, waiting=3,
        restarts=2, total=TIMING, queue=TIMING, decode=TIMING, run=TIMING, encode=TIMING,
        batches=BatchSizes(runs=50, rows=110, largest=9), rss_mb=61.4, threads=2,
        runs_on=("CPUExecutionProvider",), notes=("a note",),
        crashes={"worker_hung": 2}, last_crash="worker_hung: silent",
    )  # fmt: skip
    print_numbers(detail({"shuttle-anomaly-hall-2": worker}))
    lines = capsys.readouterr().out.splitlines()
    load, times = lines[1].split(), lines[4].split()
    assert load[1:] == ["1,200", "1,100", "60", "40", "3", "2.2/9", "61", "MB", "2", "cpu", "x2"]
    assert times[1:] == ["0.42/12.3"] * 5 + ["-"]
    assert "shuttle-anomaly-hall-2: failed: field_missing 60" in lines
    assert "shuttle-anomaly-hall-2: dropped: deadline 40" in lines
    assert "shuttle-anomaly-hall-2: a note" in lines
    assert "shuttle-anomaly-hall-2: crashes: worker_hung 2" in lines
    assert "shuttle-anomaly-hall-2: last crash: worker_hung: silent" in lines
    assert max(map(len, lines)) <= 100


def test_a_device_without_a_health_report_has_no_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_numbers(detail(None))
    assert "no figures yet" in capsys.readouterr().out
