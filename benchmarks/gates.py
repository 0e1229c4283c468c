"""How often the gates stop a good version, and how often they let a bad one through.

Simulates whole rollouts with the default stages and gates, thousands of them, and judges each by
`cloud_sync.rollout.verdict` after every round of reports, as the service does: so looks are many,
messages come in bursts, devices differ in their traffic and in their rates, and a champion has
rates of its own. A case is a kind of version; the worst case is the figure.

    python -m benchmarks.gates [--rollouts 1000] [--seed 1] [--case NAME] [--stages 1,2,9,18,30]

A rollout that is neither stopped nor completed is undecided, after a day of reports: `undecided_*`,
and of these the parts that were told to wait for messages, to take more devices, or to judge for
themselves.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from benchmarks.crew import Case, Crew
from benchmarks.report import Figure, finish, say
from cloud_sync.rollout.observation import DeviceNow
from cloud_sync.rollout.rollout import Assignment, Stage, Step
from cloud_sync.rollout.verdict import LATE_GATE, judge
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, GateFinding, GateNeed, StageState

Ending = Literal["completed", "failed", "inconclusive"]

STAGES: Final = (1, 2, 9, 18, 30)
"""Devices of each stage: about what 1, 5 %, 20 %, 50 % and all of 60 are."""

POLICY: Final = Policy(gates=Gates(wrong=Limit(good=0.02, bad=0.06)))
SOAK_ROUNDS: Final = 20
"""Rounds of reports before a stage may pass; it may fail in each of them."""

JUDGE_ROUNDS: Final = 240
SOAK_LOOK_ROUNDS: Final = 2
LOOK_ROUNDS: Final = 5
"""Rounds between two looks at a stage while it soaks, and after that."""


CLEAN: Final = {"error_rate": 0.001, "slow": 0.001, "old": 0.001, "disagreement": 0.002}
CLEAN_LABELS: Final = CLEAN | {"wrong": 0.002}
AT_LIMIT: Final = {"error_rate": 0.01, "slow": 0.01, "old": 0.01, "disagreement": 0.02}
GOOD: Final[Mapping[str, Case]] = {
    "clean": Case(rates=CLEAN_LABELS, champion=CLEAN_LABELS),
    "at_every_limit": Case(rates=AT_LIMIT | {"wrong": 0.02}, memory=1.0, psi=0.1, spread=0.3),
    "as_bad_as_its_champion": Case(
        rates=CLEAN_LABELS | {"error_rate": 0.05, "slow": 0.04},
        champion=CLEAN_LABELS | {"error_rate": 0.05, "slow": 0.04},
        spread=1.0,
        is_shared=True,
    ),
    "uneven_devices": Case(
        rates={name: rate / 2 for name, rate in AT_LIMIT.items()} | {"wrong": 0.01}, spread=1.0
    ),
    "no_champion": Case(rates=AT_LIMIT | {"wrong": 0.01}, has_champion=False, spread=0.3),
}
BAD: Final[Mapping[str, Case]] = {
    "errors": Case(rates=CLEAN_LABELS | {"error_rate": 0.03}, champion=CLEAN_LABELS),
    "errors_on_few_devices": Case(
        rates=CLEAN_LABELS | {"error_rate": 0.03}, champion=CLEAN_LABELS, only=0.2
    ),
    "more_errors_than_a_bad_champion": Case(
        rates=CLEAN_LABELS | {"error_rate": 0.06},
        champion=CLEAN_LABELS | {"error_rate": 0.04},
        is_shared=True,
    ),
    "slow": Case(rates=CLEAN_LABELS | {"slow": 0.05}, champion=CLEAN_LABELS),
    "old": Case(rates=CLEAN_LABELS | {"old": 0.10}, champion=CLEAN_LABELS),
    "disagreeing": Case(rates=CLEAN_LABELS | {"disagreement": 0.06}, champion=CLEAN_LABELS),
    "wrong": Case(rates=CLEAN_LABELS | {"wrong": 0.06}, champion=CLEAN_LABELS),
    "fat": Case(rates=CLEAN_LABELS, champion=CLEAN_LABELS, memory=1.5),
    "drifting": Case(rates=CLEAN_LABELS, champion=CLEAN_LABELS, psi=0.25),
    "drifting_from_its_profile": Case(
        rates=CLEAN_LABELS, champion=CLEAN_LABELS, psi=0.25, has_champion=False
    ),
}


class Result(Struct, frozen=True, kw_only=True):
    """How one simulated rollout ended.

    Attributes:
        stage: that it ended in; the number of stages if it completed.
        gate: that stopped it, or that was not decided; empty if it completed.
        need: what a person was told that an undecided one needs.
        messages: that its version got.
    """

    ending: Ending
    stage: int
    gate: str = ""
    need: GateNeed = ""
    messages: int


def simulate(case: Case, seed: int, stages: Sequence[int] = STAGES) -> Result:
    """One rollout, from the first stage to its end.

    Args:
        case: kind of version.
        seed: of everything.
        stages: devices of each.
    """
    chance = np.random.default_rng(seed)
    total = 0
    for number, size in enumerate(stages):
        crew = Crew(case, size, chance)
        has_shadow = case.has_champion and number < POLICY.shadow_stages
        for step in ("shadow", "run") if has_shadow else ("run",):
            ending, findings = _step(crew, number, size, step)
            total += crew.evidence(step).version.messages
            if ending != "completed":
                gates = ",".join(finding.gate for finding in findings)
                need = _need(findings)
                return Result(ending=ending, stage=number, gate=gates, need=need, messages=total)
    return Result(ending="completed", stage=len(stages), messages=total)


def _need(findings: Iterable[GateFinding]) -> GateNeed:
    """What a verdict's advice is about."""
    needs = {finding.need for finding in findings}
    strongest: tuple[GateNeed, ...] = ("judgement", "devices", "messages")
    return next((need for need in strongest if need in needs), "")


def _step(crew: Crew, number: int, size: int, step: Step) -> tuple[Ending, tuple[GateFinding, ...]]:
    """One step of a stage: how it ended, and the gates that stopped it or were not decided."""
    crew.begin()
    names = [f"d{index}" for index in range(size)]
    state = AssignmentState.SHADOW if step == "shadow" else AssignmentState.COMMITTED
    assignments = tuple(
        Assignment(device=name, stage=number, module="m", version=2, digest="", state=state)
        for name in names
    )
    devices = {name: DeviceNow(device=name, presence="online") for name in names}
    while True:
        crew.report(SOAK_LOOK_ROUNDS if crew.rounds < SOAK_ROUNDS else LOOK_ROUNDS)
        rounds = crew.rounds
        is_soaked = rounds >= SOAK_ROUNDS
        stage = Stage(
            number=number,
            size=len(names),
            state=StageState.JUDGING if is_soaked else StageState.SOAKING,
            step=step,
            deadline=float(SOAK_ROUNDS + JUDGE_ROUNDS) if is_soaked else None,
        )
        verdict = judge(stage, assignments, devices, crew.evidence(step), POLICY, float(rounds))
        if verdict.outcome == "passed":
            return "completed", ()
        if verdict.outcome != "waiting":
            outcome = "failed" if verdict.outcome == "failed" else "waiting"
            said = [finding for finding in verdict.findings if finding.outcome == outcome]
            if verdict.outcome == "inconclusive":
                said = [finding for finding in said if finding.gate != LATE_GATE]
            return verdict.outcome, tuple(said)


def measure(
    rollouts: int, seed: int, only: str = "", stages: Sequence[int] = STAGES
) -> dict[str, Figure]:
    """Simulate all cases.

    Args:
        rollouts: of each case.
        seed: of the first; each has its own.
        only: name of the one case to simulate; empty for all.
        stages: devices of each.

    Returns:
        `false_alarm_rate` and `miss_rate` of the worst cases, and figures of each case.
    """
    figures: dict[str, Figure] = {
        "rollouts_per_case": rollouts,
        "seed": seed,
        "stages": ",".join(str(size) for size in stages),
        "stated_false_alarm": POLICY.gates.false_alarm if POLICY.gates else None,
        "stated_miss": POLICY.gates.miss if POLICY.gates else None,
    }
    alarms, misses = [0.0], [0.0]
    undecided_good, undecided_bad = [0.0], [0.0]
    needs: Counter[GateNeed] = Counter()
    for name, case, is_bad in _cases(only):
        began = time.monotonic()
        results = [simulate(case, seed * 1_000_003 + number, stages) for number in range(rollouts)]
        failed = sum(result.ending == "failed" for result in results) / rollouts
        passed = sum(result.ending == "completed" for result in results) / rollouts
        first = sum(result.stage == 0 for result in results) / rollouts
        undecided = sum(result.ending == "inconclusive" for result in results) / rollouts
        if is_bad:
            misses.append(passed)
            undecided_bad.append(undecided)
            figures[f"miss_{name}"] = round(passed, 4)
            figures[f"stopped_in_first_stage_{name}"] = round(first, 4)
        else:
            alarms.append(failed)
            undecided_good.append(undecided)
            figures[f"false_alarm_{name}"] = round(failed, 4)
        figures[f"undecided_{name}"] = round(undecided, 4)
        needs.update(result.need for result in results if result.ending == "inconclusive")
        counts = dict(Counter(result.gate for result in results if result.gate))
        say(
            f"{name}: failed {failed:.3f}, completed {passed:.3f}, undecided {undecided:.3f}, "
            f"in the first stage {first:.3f}, {counts}, {time.monotonic() - began:.0f} s"
        )
    figures["false_alarm_rate"] = round(max(alarms), 4)
    figures["miss_rate"] = round(max(misses), 4)
    figures["undecided_good"] = round(max(undecided_good), 4)
    figures["undecided_bad"] = round(max(undecided_bad), 4)
    for need in ("messages", "devices", "judgement"):
        share = needs[need] / max(1, needs.total())
        figures[f"undecided_told_{need}"] = round(share, 4)
    return figures


def _cases(only: str) -> Iterator[tuple[str, Case, bool]]:
    for cases, is_bad in ((GOOD, False), (BAD, True)):
        for name, case in cases.items():
            if only in ("", name):
                yield name, case, is_bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", default="", help="one kind of version, alone")
    parser.add_argument("--stages", default=",".join(map(str, STAGES)), help="devices of each")
    options = parser.parse_args()
    stages = tuple(int(size) for size in options.stages.split(","))
    figures = measure(options.rollouts, options.seed, options.case, stages)
    finish("gates", figures, ["numpy"])


if __name__ == "__main__":
    main()
