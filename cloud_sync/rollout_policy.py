"""How a rollout goes forward, as a person sets it: stages, bounds, deadlines, what a failure does.

Part of the HTTP API and of what is stored: a field that is added has a default. Nothing here
decides. Durations are seconds.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from cloud_sync.rollout_gates import Gates

Share = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,7}|[0-9]{1,3}(\.[0-9]{1,4})?%)$",
        max_length=9,
        description="a number of devices, or a part of them as 2.5%",
    ),
]
"""A number of devices ("5") or a part of them ("2.5%")."""

Fraction = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=366 * 86_400)]


class Policy(Struct, frozen=True, kw_only=True):
    """How a rollout goes forward.

    Attributes:
        stages: devices that have the version once a stage is full, counted from the first.
        shadow_stages: how many stages, from the first, run the version beside the champion before
            it answers, on devices where there is one.
        max_in_flight: devices that may be on their way at once, of all; at least one.
        max_in_flight_per_site: the same of each site's.
        site_tag: the tag that tells the site.
        min_success: of those attempted, how many must run it for a stage to pass.
        max_failure: of those attempted, how many may fail; above it the stage fails at once.
        min_sample: fewer attempted devices than this are judged only when all have ended.
        soak_s: how long a full stage runs before it is judged.
        soak_messages: inferences in a stage before it is judged.
        judge_s: how long after its soak a stage may wait for evidence before it is inconclusive.
        download_s, install_s, trial_s: deadlines of an assignment's steps.
        retries: how often an assignment that missed a deadline is offered again.
        retry_s: longest wait before the first of them; doubles, with full jitter.
        offline_after_s: a device that is away for so long leaves the denominator.
        expire_after_s: and gives up its place in the queue.
        offer_offline: whether a device that is away, or puts updates off, is told at once and
            follows when it can; else it is offered the version when it is back, or the lock ends.
        max_offline: of a stage; with more of its devices away it is inconclusive.
        on_error: what follows when a stage fails: nothing more is offered; or its devices go back;
            or all devices of the rollout do.
        rollback_s: how long devices may take to go back before the rollback counts as incomplete.
        revert_failed: whether a device that failed is told to run its previous version again.
        approval: whether another person than the one who asked must say yes.
        unattended_s: how long a rollout waits for a person (as a draft, for approval, paused)
            before it is cancelled.
        windows: when devices may be offered something, as `sat,sun 01:00-05:00 Europe/Oslo`; empty
            for always.
        lock_max_s: how long a module on the device may put an update off.
        late_joiners: what becomes of devices that match the target only later.
        priority: of two rollouts that want a device the higher goes first and the other waits; of
            equal ones the one that was started later goes first.
    """

    stages: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=50)] = (
        "1",
        "1%",
        "10%",
        "50%",
        "100%",
    )
    shadow_stages: Annotated[int, Meta(ge=0, le=50)] = 2
    max_in_flight: Share = "10%"
    max_in_flight_per_site: Share = "25%"
    site_tag: str = "site"
    min_success: Fraction = 0.95
    max_failure: Fraction = 0.05
    min_sample: Annotated[int, Meta(ge=1)] = 5
    soak_s: Seconds = 1_800
    soak_messages: Annotated[int, Meta(ge=0)] = 200
    judge_s: Seconds = 86_400
    download_s: Seconds = 3_600
    install_s: Seconds = 600
    trial_s: Seconds = 7_200
    retries: Annotated[int, Meta(ge=0, le=100)] = 3
    retry_s: Seconds = 60
    offline_after_s: Seconds = 86_400
    expire_after_s: Seconds = 30 * 86_400
    offer_offline: bool = False
    max_offline: Fraction = 0.2
    on_error: Literal["pause", "rollback-stage", "rollback"] = "pause"
    rollback_s: Seconds = 86_400
    revert_failed: bool = True
    approval: bool = False
    unattended_s: Seconds = 30 * 86_400
    windows: tuple[str, ...] = ()
    lock_max_s: Seconds = 86_400
    late_joiners: Literal["ignore", "include"] = "ignore"
    gates: Gates | None = Gates()
    priority: Annotated[int, Meta(ge=-1_000, le=1_000)] = 0


AT_ONCE: Policy = Policy(
    stages=("100%",),
    shadow_stages=0,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
    min_success=0.0,
    max_failure=1.0,
    min_sample=1,
    soak_s=0,
    soak_messages=0,
    judge_s=30 * 86_400,
    download_s=30 * 86_400,
    install_s=30 * 86_400,
    trial_s=30 * 86_400,
    retries=0,
    offer_offline=True,
    max_offline=1.0,
    revert_failed=False,
    gates=None,
)
"""How `shoal deploy` goes: one stage, everybody at once, judged by nobody but the device."""
