"""The demo's third act: a version that starts, is fast and is wrong goes to a fleet and comes back.

The fleet is simulated, its broker, service and rollout are the real ones. How often a device's
answers differ is no invention: both models have answered the held-out rows before, offline.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from cloud_sync.client import ShoalClient
from cloud_sync.demo.programs import Programs, command, wait_for
from cloud_sync.demo.screen import Report, Screen
from cloud_sync.demo.shuttle import TrainedVersion
from cloud_sync.errors import Unavailable
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import (
    GateFinding,
    RolloutDetail,
    RolloutState,
    RolloutWish,
    StageState,
)

DEVICES: Final = 200
PREFIX: Final = "sim"
MESSAGES_PER_S: Final = 150
READY_TIMEOUT_S: Final = 120.0
ROLLOUT_TIMEOUT_S: Final = 180.0
LOOK_S: Final = 0.3
POLICY: Final = Policy(
    stages=("2%", "20%", "100%"),
    shadow_stages=1,
    soak_s=2.0,
    soak_messages=500,
    on_error="rollback",
    gates=Gates(disagreement=Limit(good=0.005, bad=0.03)),
)
"""As the defaults, but in seconds what takes half an hour with a fleet that people live on."""
_TO: Final = f"{PREFIX}-*"
_GOING: Final = frozenset({RolloutState.READY, RolloutState.RUNNING, RolloutState.ROLLING_BACK})

_UNTOUCHED: Final = frozenset({"queued", "superseded", "expired"})


class FleetAct:
    """The third act, step by step.

    Args:
        screen: where it is shown.
        client: of the service.
        programs: the processes that are started.
        module: name of the module.
    """

    def __init__(
        self, screen: Screen, client: ShoalClient, programs: Programs, module: str
    ) -> None:
        self._screen = screen
        self._client = client
        self._programs = programs
        self._module = module

    def gather(self, champion: TrainedVersion, wrong: TrainedVersion) -> None:
        """Start the fleet, and have all of it run the champion."""
        share = disagreement(champion.labels, wrong.labels)
        flaw = f"{self._module}/{wrong.number} wrong={share:.4f}"
        self._programs.start(
            "fleet",
            [
                *command("shoal"),
                *("-s", self._client.url, "fleet", "simulate"),
                *("--devices", str(DEVICES), "--name", PREFIX, "--flaw", flaw),
                *("--messages", str(MESSAGES_PER_S), "--health-interval", "1"),
                *("--fetch", "0.2", "--trial", "0.3"),
            ],
        )
        with self._screen.step("a fleet gathers") as report:
            wait_for(
                f"{DEVICES} simulated devices online",
                lambda: self._are_known(report),
                self._programs,
                timeout_s=READY_TIMEOUT_S,
                interval_s=LOOK_S,
            )
            self._client.deployments.deploy(
                self._module, _TO, version=champion.number, reason="demo: the champion"
            )
            wait_for(
                f"{DEVICES} simulated devices on version {champion.number}",
                lambda: self._run(champion.number, report),
                self._programs,
                timeout_s=READY_TIMEOUT_S,
                interval_s=LOOK_S,
            )
        self._screen.fact(
            "fleet",
            f"{DEVICES} simulated devices on the same broker, all on v{champion.number}, "
            f"{DEVICES * MESSAGES_PER_S:,} messages a second between them",
        )

    def roll_out(self, wrong: TrainedVersion, champion: TrainedVersion) -> bool:
        """Send the wrong version on its way; True if it was caught in the shadow and taken back."""
        wish = RolloutWish(
            module=self._module,
            to=_TO,
            version=wrong.number,
            policy=POLICY,
            seed=1,
            reason="demo: a version that is subtly wrong",
        )
        begun = time.monotonic()
        detail = self._client.rollouts.create(wish)
        sizes = ", ".join(str(stage.size) for stage in detail.summary.stages)
        self._screen.fact("rollout", f"v{wrong.number} to {_TO} in stages of {sizes} devices")
        with self._screen.step("rolling out") as report:
            while detail.summary.state in _GOING and time.monotonic() < begun + ROLLOUT_TIMEOUT_S:
                time.sleep(LOOK_S)
                self._programs.check()
                detail = self._client.rollouts.show(detail.summary.id)
                report(where(detail), None)
        return self._tell(detail, wrong, champion, time.monotonic() - begun)

    def _tell(
        self,
        detail: RolloutDetail,
        wrong: TrainedVersion,
        champion: TrainedVersion,
        seconds: float,
    ) -> bool:
        summary = detail.summary
        first = summary.stages[0]
        touched = sum(
            count
            for stage in summary.stages
            for state, count in stage.counts.items()
            if state not in _UNTOUCHED
        )
        answering = self._answering(wrong.number)
        finding = reason_of(detail)
        if finding is not None:
            self._screen.fact("caught", f"stage 1, as a shadow: {finding.text}")
        self._screen.fact(
            "taken back",
            f"{summary.id} {summary.state.value.replace('_', ' ')} after {seconds:.0f} s: "
            f"{touched} of {summary.cohort} devices ever had v{wrong.number}, "
            f"{answering} answer with it",
        )
        self._screen.console.print()
        if (
            finding is None
            or finding.gate != "disagreement"
            or first.state is not StageState.FAILED
            or summary.state is not RolloutState.ROLLED_BACK
            or answering
        ):
            self._screen.verdict(
                False,
                f"the rollout of version {wrong.number} expected to be caught in the shadow of "
                f"its first stage and rolled back, found {summary.state.value}: "
                f"{summary.state_reason}",
            )
            return False
        value = finding.value or 0.0
        self._screen.verdict(
            True,
            f"Version {wrong.number} started, was fast and passed its own tests, and was still "
            f"rolled back after {first.size} of {summary.cohort} devices, because beside version "
            f"{champion.number} on live data it gave another answer to {value:.1%} of "
            f"{finding.samples:,} messages.",
        )
        return True

    def _are_known(self, report: Report) -> bool:
        found = self._client.devices.search(name=_TO)
        online = sum(device.presence == "online" for device in found)
        report(f"{online} of {DEVICES} devices online", online / DEVICES)
        return online == DEVICES

    def _run(self, version: int, report: Report) -> bool:
        running = self._answering(version)
        report(f"{running} of {DEVICES} devices run version {version}", running / DEVICES)
        return running == DEVICES

    def _answering(self, version: int) -> int:
        slots = [device.slots.get(self._module) for device in self._client.devices.search(name=_TO)]
        counts = Counter(
            slot.running_version for slot in slots if slot is not None and slot.phase == "active"
        )
        return counts[version]


def disagreement(champion: Sequence[int], other: Sequence[int]) -> float:
    """Share of rows that two versions answer differently."""
    pairs = list(zip(champion, other, strict=True))
    if not pairs:
        raise Unavailable("no row was held out", hint="the data set is not complete")
    return sum(left != right for left, right in pairs) / len(pairs)


def reason_of(detail: RolloutDetail) -> GateFinding | None:
    """What the first stage that failed failed by: the answers, if they are among it."""
    for stage in detail.summary.stages:
        if stage.verdict is not None and stage.verdict.outcome == "failed":
            failed = [f for f in stage.verdict.findings if f.outcome == "failed"]
            return next((f for f in failed if f.gate == "disagreement"), next(iter(failed), None))
    return None


def where(detail: RolloutDetail) -> str:
    """How far a rollout is, in a few words."""
    summary = detail.summary
    if summary.state in (RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK):
        return "taking it back"
    for stage in summary.stages:
        if stage.state not in (StageState.PASSED, StageState.WAITING):
            how = "beside the champion" if stage.step == "shadow" else "answering"
            return (
                f"stage {stage.number + 1} of {len(summary.stages)}, {how} on {stage.size} "
                f"devices, {stage.state.value}, {stage.messages:,} messages"
            )
    return summary.state.value
