"""The judge of recorded histories sees every broken promise, and nothing where all is well."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from cloud_sync.rollout.invariants import History, violations
from cloud_sync.rollout.rollout import Assignment, Rollout, Stage
from cloud_sync.rollout.violation import Heard, Installed, Invariant
from cloud_sync.rollout_gates import Gates
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutEvent, RolloutWish

POLICY = Policy(stages=("1", "100%"), max_in_flight="1", max_in_flight_per_site="50%", gates=None)
DEVICES = {"anvil": (0, "oslo"), "bell": (1, "oslo"), "crane": (1, "bergen")}
NEW, OLD = "b" * 64, "a" * 64


def rollout(number: int = 1, policy: Policy = POLICY) -> Rollout:
    return Rollout(
        id=number,
        wish=RolloutWish(module="probe", to="all", policy=policy),
        slot="probe",
        module="probe",
        version=2,
        seed=1,
        created=0.0,
        created_by="ada",
        stages=(Stage(number=0, size=1), Stage(number=1, size=2)),
        assignments={
            device: Assignment(
                device=device, stage=stage, module="probe", version=2, digest=NEW, site=site
            )
            for device, (stage, site) in DEVICES.items()
        },
    )


Line = tuple[float, str, str]
"""When, of whom, and the steps: `rollout`, `stage 0` or a device; `running -> paused`."""


def events(lines: Sequence[Line], *, first: int = 1) -> tuple[RolloutEvent, ...]:
    made = []
    revisions = first * 100
    for number, (time, whom, step) in enumerate(lines, start=first):
        before, _arrow, after = step.rpartition("-> ")
        revisions += 1
        made.append(
            RolloutEvent(
                id=number,
                time=time,
                stage=int(whom.split()[1]) if whom.startswith("stage") else None,
                device=whom if whom in DEVICES else "",
                before=before.strip(),
                after=after,
                actor="cloud-sync",
                reason="",
                evidence=(
                    {"revision": str(revisions)} if after in ("offered", "reverting") else {}
                ),
            )
        )
    return tuple(made)


BEGUN: list[Line] = [
    (1, "rollout", "-> draft"),
    (1, "anvil", "-> queued"),
    (1, "bell", "-> queued"),
    (1, "crane", "-> queued"),
    (2, "rollout", "draft -> ready"),
    (3, "rollout", "ready -> running"),
    (3, "stage 0", "waiting -> filling"),
    (3, "anvil", "queued -> offered"),
]
FIRST: list[Line] = [
    *BEGUN,
    (4, "anvil", "offered -> committed"),
    (4, "stage 0", "filling -> soaking"),
    (5, "stage 0", "soaking -> judging"),
]
SECOND: list[Line] = [
    *FIRST,
    (5, "stage 0", "judging -> passed"),
    (6, "stage 1", "waiting -> filling"),
    (6, "bell", "queued -> offered"),
]
ALL: list[Line] = [
    *SECOND,
    (7, "bell", "offered -> committed"),
    (7, "crane", "queued -> offered"),
    (8, "crane", "offered -> committed"),
    (9, "stage 1", "filling -> soaking"),
    (9, "stage 1", "soaking -> judging"),
    (9, "stage 1", "judging -> passed"),
    (9, "rollout", "running -> completed"),
]


def found(lines: Sequence[Line], *, until: float | None = None) -> set[Invariant]:
    history = History(rollout=rollout(), events=events(lines))
    return {broken.invariant for broken in violations((history,), until=until)}


def test_a_rollout_as_it_should_be_breaks_nothing() -> None:
    reports = [
        Heard(device=device, slot="probe", time=time, revision_seen=10_000, running=NEW)
        for device, time in (("anvil", 3.5), ("bell", 6.5), ("crane", 7.5))
    ]
    history = History(rollout=rollout(), events=events(ALL))
    assert violations((history,), heard=reports, until=20.0) == ()


@pytest.mark.parametrize(
    ("lines", "broken"),
    [
        ([*BEGUN, (3, "bell", "queued -> offered")], Invariant.BOUNDS),
        ([*ALL, (10, "crane", "committed -> offered")], Invariant.TRANSITION),
        ([*BEGUN, (4, "anvil", "verified -> trial")], Invariant.TRANSITION),
        (
            [*BEGUN, (4, "anvil", "offered -> rejected"), (5, "anvil", "rejected -> offered")],
            Invariant.TERMINAL,
        ),
        (
            [*BEGUN, (4, "rollout", "running -> cancelled"), (5, "rollout", "cancelled -> ready")],
            Invariant.TERMINAL,
        ),
        ([*BEGUN, (4, "rollout", "running -> superseded")], Invariant.LEFT_BEHIND),
        ([*SECOND[:-1], (6, "rollout", "running -> paused"), SECOND[-1]], Invariant.PAUSE),
        ([*SECOND, (6, "rollout", "running -> paused")], Invariant.PAUSE),
        ([*FIRST, (5, "stage 1", "waiting -> filling")], Invariant.ORDER),
        ([*FIRST, (6, "bell", "queued -> offered")], Invariant.ORDER),
        ([*SECOND, (7, "rollout", "running -> completed")], Invariant.ORDER),
        (
            [*FIRST, (5, "stage 0", "judging -> failed"), (6, "anvil", "committed -> offered")],
            Invariant.RESUME,
        ),
        (
            [
                *BEGUN,
                (4, "anvil", "offered -> rejected"),
                (4, "stage 0", "filling -> soaking"),
                (5, "stage 0", "soaking -> judging"),
                (6, "stage 0", "judging -> passed"),
            ],
            Invariant.MISSING_DATA,
        ),
        (
            [
                *BEGUN,
                (4, "stage 0", "filling -> soaking"),
                (5, "stage 0", "soaking -> judging"),
                (6, "stage 0", "judging -> passed"),
            ],
            Invariant.MISSING_DATA,
        ),
        # Nobody of it has tried the version, and nobody ever will.
        (
            [
                *BEGUN,
                (4, "anvil", "offered -> expired"),
                (4, "stage 0", "filling -> soaking"),
                (5, "stage 0", "soaking -> judging"),
                (6, "stage 0", "judging -> passed"),
            ],
            Invariant.MISSING_DATA,
        ),
        # One has, five are the least, and another one is still waited for.
        (
            [
                *SECOND,
                (7, "bell", "offered -> committed"),
                (9, "stage 1", "filling -> soaking"),
                (9, "stage 1", "soaking -> judging"),
                (9, "stage 1", "judging -> passed"),
            ],
            Invariant.MISSING_DATA,
        ),
    ],
)
def test_each_broken_promise_is_seen(lines: list[Line], broken: Invariant) -> None:
    assert broken in found(lines)


@pytest.mark.parametrize(
    ("said", "broken"),
    [
        ("passed: 0 of 1,000", set()),
        ("waiting: not measured yet", {Invariant.MISSING_DATA}),
        ("", {Invariant.MISSING_DATA}),
    ],
)
def test_a_stage_passes_by_what_was_measured(said: str, broken: set[Invariant]) -> None:
    lines: list[Line] = [*FIRST, (5, "stage 0", "judging -> passed")]
    made = events(lines)
    told = (*made[:-1], replace(made[-1], evidence={"error_rate": said}))
    asked = rollout(policy=replace(POLICY, gates=Gates()))
    history = History(rollout=asked, events=told)
    assert {one.invariant for one in violations((history,))} == broken


def test_a_stage_whose_devices_had_the_version_before_may_pass() -> None:
    had: list[Line] = [
        *BEGUN[:-1],
        (3, "anvil", "queued -> already_present"),
        (4, "stage 0", "filling -> soaking"),
        (5, "stage 0", "soaking -> judging"),
        (5, "stage 0", "judging -> passed"),
    ]
    assert found(had) == set()


def test_a_resumed_rollout_that_does_not_look_at_its_failed_stage_is_seen() -> None:
    lines: list[Line] = [
        *FIRST,
        (5, "stage 0", "judging -> failed"),
        (5, "rollout", "running -> paused"),
        (6, "rollout", "paused -> running"),
    ]
    assert found(lines) == set()  # it may yet
    assert found(lines, until=100.0) == {Invariant.RESUME}


def test_what_a_cancelled_rollout_had_begun_comes_to_an_end() -> None:
    lines: list[Line] = [*BEGUN, (4, "rollout", "running -> cancelled")]
    assert found(lines) == set()
    assert found(lines, until=100.0) == {Invariant.LEFT_BEHIND}
    assert found([*lines, (5, "anvil", "offered -> committed")], until=100.0) == set()


def test_the_bound_of_a_site_is_its_own() -> None:
    policy = Policy(stages=("100%",), max_in_flight="100%", max_in_flight_per_site="50%")
    lines: list[Line] = [
        (3, "rollout", "ready -> running"),
        (3, "stage 0", "waiting -> filling"),
        (3, "stage 1", "waiting -> filling"),
        (3, "anvil", "queued -> offered"),
        (3, "crane", "queued -> offered"),
    ]
    lines[0] = (3, "rollout", "-> running")
    fine = History(rollout=rollout(policy=policy), events=events(lines))
    too_many = History(
        rollout=rollout(policy=policy), events=events([*lines, (3, "bell", "queued -> offered")])
    )
    assert Invariant.BOUNDS not in {broken.invariant for broken in violations((fine,))}
    assert Invariant.BOUNDS in {broken.invariant for broken in violations((too_many,))}


@pytest.mark.parametrize(
    "report",
    [
        Heard(device="bell", slot="probe", time=3.5, revision_seen=10_000, running=NEW),
        Heard(device="anvil", slot="other", time=3.5, revision_seen=10_000, running=NEW),
        Heard(device="anvil", slot="probe", time=3.5, revision_seen=10_000, running=OLD),
        Heard(device="anvil", slot="probe", time=3.5, revision_seen=0, running=NEW),
        Heard(device="anvil", slot="probe", time=4.5, revision_seen=10_000, running=NEW),
        Heard(
            device="anvil",
            slot="probe",
            time=3.5,
            revision_seen=10_000,
            running=NEW,
            is_active=False,
        ),
    ],
    ids=["other device", "other slot", "other digest", "before it was asked", "late", "on trial"],
)
def test_a_success_that_no_report_shows_is_seen(report: Heard) -> None:
    history = History(rollout=rollout(), events=events(FIRST))
    (broken,) = violations((history,), heard=[report])
    assert broken.invariant is Invariant.MISSING_DATA
    assert broken.device == "anvil"


def test_a_committed_device_that_runs_something_else_must_be_reopened() -> None:
    reports = [
        Heard(device="anvil", slot="probe", time=time, revision_seen=10_000, running=running)
        for time, running in ((3.5, NEW), (4.5, OLD))
    ]
    history = History(rollout=rollout(), events=events(FIRST))
    assert violations((history,), heard=reports, until=6.0, grace_s=5.0) == ()
    (broken,) = violations((history,), heard=reports, until=20.0, grace_s=5.0)
    assert broken.invariant is Invariant.REOPENED


def test_two_rollouts_that_ask_for_one_slot_are_seen() -> None:
    older = History(rollout=rollout(1), events=events(FIRST))
    newer = History(rollout=rollout(2), events=events(BEGUN, first=100))
    assert {broken.invariant for broken in violations((older, newer))} == {Invariant.ONE_ACTIVE}
    given_up: list[Line] = [*FIRST, (5, "anvil", "committed -> superseded")]
    older = History(rollout=rollout(1), events=events(given_up))
    assert violations((older, newer)) == ()


def test_what_a_finished_rollout_left_committed_is_in_nobodys_way() -> None:
    older = History(rollout=rollout(1), events=events(ALL))
    newer = History(rollout=rollout(2), events=events(BEGUN, first=100))
    assert violations((older, newer)) == ()


def test_a_revision_below_one_that_was_written_is_seen() -> None:
    newer = History(rollout=rollout(2), events=events([*BEGUN], first=1))
    lines: list[Line] = [*BEGUN, (4, "anvil", "offered -> superseded")]
    late = [
        RolloutEvent(
            id=event.id + 50,
            time=event.time,
            stage=event.stage,
            device=event.device,
            before=event.before,
            after=event.after,
            actor="",
            reason="",
            evidence={"revision": "3"} if event.evidence else {},
        )
        for event in events(lines)
    ]
    older = History(rollout=rollout(1), events=late)
    assert Invariant.SUCCESSION in {broken.invariant for broken in violations((older, newer))}


def test_a_device_that_installs_what_was_superseded_is_seen() -> None:
    history = History(rollout=rollout(), events=events(BEGUN))
    facts = [
        Installed(device="anvil", slot="probe", revision=revision, digest=digest)
        for revision, digest in ((2, NEW), (1, OLD))
    ]
    assert violations((history,), installed=facts[:1]) == ()
    (broken,) = violations((history,), installed=facts)
    assert broken.invariant is Invariant.SUCCESSION
