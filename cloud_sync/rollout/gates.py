"""Gates: what a stage is asked about what its version did, and what the evidence answers. Pure.

A gate stops a version only if the evidence against "as good as it should be" is strong, and, where
the champion was measured, if the version is worse than the champion besides. It passes one only
if the evidence against "bad" is strong. In between it waits: what was not measured never passes.

How strong is strong follows from the two rates that the policy states. Stopping is shared out
over all gates of all stages, because each of them may stop a good version; passing is not, because
a bad version has to pass the gate that it is bad by.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from cloud_sync.errors import InvalidInput
from cloud_sync.rollout.drift import drift_of
from cloud_sync.rollout.durations import longer, quantile_ms
from cloud_sync.rollout.finding import SHARES, Answer, in_words
from cloud_sync.rollout.observation import Counted, Measures, Sample, StageEvidence
from cloud_sync.rollout.pooling import memory_limit
from cloud_sync.rollout.prospect import Prospect, look_ahead, more_counted, more_sampled
from cloud_sync.rollout.rollout import Step
from cloud_sync.rollout.weighing import Outcome, Risks, weigh_sample, weigh_share
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import GateFinding

GATES_OF: Final[Mapping[Step, tuple[str, ...]]] = {
    # Beside the champion a version has the lowest priority: how long it takes says nothing.
    "shadow": ("error_rate", "disagreement", "memory", "psi"),
    "run": ("error_rate", "slow", "old", "memory", "psi", "wrong"),
}

MEMORY_SPREAD: Final = 0.08
"""Standard deviation between devices of the logarithm of what a version takes, at least."""

PSI_SPREAD: Final = 0.04
"""The same of the index of its scores."""

TIMES_CHAMPION: Final = 2.0
"""So many times the champion's 99th percentile a message may take."""

_SMALLEST: Final = 1e-3


def check_gates(gates: Gates) -> None:
    """Refuse limits that no evidence can meet.

    Raises:
        InvalidInput: code `gates_invalid`.
    """
    for name, limit in _limits(gates).items():
        if limit is not None and not 0 <= limit.good < limit.bad:
            raise InvalidInput(
                f"gate {name} expected 0 <= good < bad, found good {limit.good:g} and bad "
                f"{limit.bad:g}",
                hint="what is as good as before must be less than what must be caught",
                code="gates_invalid",
            )
        if limit is not None and name in SHARES and limit.bad > 1:
            raise InvalidInput(
                f"gate {name} expected a share from 0 to 1, found bad {limit.bad:g}",
                hint=f"7 % is 0.07; no version is ever as bad as {limit.bad:g}",
                code="gates_invalid",
            )


def number_of_tests(policy: Policy) -> int:
    """How many tests may stop a good version in a whole rollout."""
    if policy.gates is None:
        return 0
    limits = _limits(policy.gates)
    asked = {step: sum(1 for name in GATES_OF[step] if limits[name]) for step in GATES_OF}
    stages = len(policy.stages)
    return asked["shadow"] * min(policy.shadow_stages, stages) + asked["run"] * stages


def ask(evidence: StageEvidence, step: Step, policy: Policy) -> tuple[GateFinding, ...]:
    """Ask all gates of a step that there can be an answer to.

    A gate that has nothing to compare with is left out: without a champion and without a limit in
    its manifest nobody can say that a version is slow. A rollout that brings a shadow asks in all
    of its steps what is asked of shadows.
    """
    gates = policy.gates
    if gates is None:
        return ()
    # One test more: labels may still come after the end.
    each = gates.false_alarm / max(1, number_of_tests(policy) + (gates.wrong is not None))
    risks = Risks(stop=math.log(1 / each), go=math.log(gates.miss))
    limits = _limits(gates)
    found = []
    for name in GATES_OF["shadow" if evidence.is_beside else step]:
        limit = limits[name]
        answer = None if limit is None else _ASK[name](evidence, limit, risks)
        if answer is not None:
            found.append(in_words(name, answer))
    return tuple(found)


def slow_bound(evidence: StageEvidence) -> float | None:
    """Milliseconds that a message may take; None if there is nothing to compare with."""
    if evidence.max_p99_ms:
        return evidence.max_p99_ms
    p99_ms = quantile_ms(evidence.champion.total, 0.99)
    return None if p99_ms is None else TIMES_CHAMPION * p99_ms


def old_bound(evidence: StageEvidence) -> float | None:
    """Milliseconds that a message may be old when it is answered; None as above."""
    p99_ms = quantile_ms(evidence.champion.ages, 0.99)
    return None if p99_ms is None else TIMES_CHAMPION * p99_ms


def _limits(gates: Gates) -> dict[str, Limit | None]:
    return {
        name: getattr(gates, name)
        for name in ("error_rate", "slow", "old", "disagreement", "memory", "psi", "wrong")
    }


def _counted(measures: Measures, name: str, hits: int, of: int) -> Counted:
    """What is counted for a gate, or the plain sums where nothing more is known."""
    known = measures.counted.get(name)
    if known is not None:
        return known
    return Counted(least=hits, most=hits, of=max(of, hits), devices=max(1, measures.devices))


def _nothing_yet(limit: Limit, samples: int = 0) -> Answer:
    return Answer(outcome="waiting", value=None, good=limit.good, bad=limit.bad, samples=samples)


def _answer_share(version: Counted, champion: Counted | None, limit: Limit, risks: Risks) -> Answer:
    if not version.of:
        return _nothing_yet(limit)
    outcome, good, bad = weigh_share(version, champion, limit, risks)

    def weigh(messages: float, devices: float) -> Outcome:
        # The champion has answered what it had to: more devices only would have more of its own.
        before = None if champion is None else more_counted(champion, 1.0, devices)
        return weigh_share(more_counted(version, messages, devices), before, limit, risks)[0]

    return Answer(
        outcome=outcome,
        value=_rate(version),
        good=good,
        bad=bad,
        samples=int(version.of),
        devices=math.ceil(version.devices),
        champion=None if champion is None or not champion.of else _rate(champion),
        prospect=look_ahead(weigh) if outcome == "waiting" else None,
    )


def _rate(counted: Counted) -> float:
    return (counted.least + counted.most) / 2 / counted.of


def _answer_sample(
    sample: Sample, bounds: tuple[float, float], spread: float, risks: Risks
) -> tuple[Outcome, Prospect | None]:
    def weigh(messages: float, devices: float) -> Outcome:
        return weigh_sample(more_sampled(sample, messages, devices), bounds, spread, risks)

    outcome = weigh(1.0, 1.0)
    return outcome, look_ahead(weigh) if outcome == "waiting" else None


def _ask_errors(evidence: StageEvidence, limit: Limit, risks: Risks) -> Answer | None:
    version, champion = evidence.version, evidence.champion
    return _answer_share(
        _counted(version, "error_rate", version.errors, version.messages),
        _counted(champion, "error_rate", champion.errors, champion.messages),
        limit,
        risks,
    )


def _ask_disagreement(evidence: StageEvidence, limit: Limit, risks: Risks) -> Answer | None:
    version = evidence.version
    counted = _counted(version, "disagreement", version.differed, version.compared)
    return _answer_share(counted, None, limit, risks)


def _ask_slow(evidence: StageEvidence, limit: Limit, risks: Risks) -> Answer | None:
    bound = slow_bound(evidence)
    if bound is None:
        return None
    return _answer_longer(
        "slow", bound, (evidence.version, evidence.version.total), evidence, limit, risks
    )


def _ask_old(evidence: StageEvidence, limit: Limit, risks: Risks) -> Answer | None:
    bound = old_bound(evidence)
    if bound is None:
        return None
    return _answer_longer(
        "old", bound, (evidence.version, evidence.version.ages), evidence, limit, risks
    )


def _answer_longer(
    name: str,
    bound_ms: float,
    version: tuple[Measures, tuple[int, ...]],
    evidence: StageEvidence,
    limit: Limit,
    risks: Risks,
) -> Answer:
    def counted(measures: Measures, buckets: tuple[int, ...]) -> Counted:
        least, most = longer(buckets, bound_ms)
        return measures.counted.get(name) or Counted(
            least=least, most=most, of=sum(buckets), devices=max(1, measures.devices)
        )

    before = evidence.champion.total if name == "slow" else evidence.champion.ages
    return _answer_share(counted(*version), counted(evidence.champion, before), limit, risks)


def _ask_wrong(evidence: StageEvidence, limit: Limit, risks: Risks) -> Answer | None:
    version, champion = evidence.version, evidence.champion
    return _answer_share(
        _counted(version, "wrong", version.wrong, version.right + version.wrong),
        _counted(champion, "wrong", champion.wrong, champion.right + champion.wrong),
        limit,
        risks,
    )


def _ask_memory(evidence: StageEvidence, limit: Limit, risks: Risks) -> Answer | None:
    version = evidence.version
    allowed = memory_limit(evidence.memory_mb, evidence.champion.memory_mb)
    sample = version.memory
    if sample is None:
        if not allowed:
            return None
        if not version.memory_mb:
            return _nothing_yet(limit)
        mean = math.log(version.memory_mb / allowed)
        sample = Sample(devices=max(1, version.devices), mean=mean)
    bounds = math.log(max(limit.good, _SMALLEST)), math.log(limit.bad)
    outcome, prospect = _answer_sample(sample, bounds, MEMORY_SPREAD, risks)
    return Answer(
        outcome=outcome,
        value=math.exp(sample.mean),
        good=limit.good,
        bad=limit.bad,
        samples=sample.devices,
        devices=sample.devices,
        prospect=prospect,
    )


def _ask_psi(evidence: StageEvidence, limit: Limit, risks: Risks) -> Answer | None:
    version = evidence.version
    good, bad = limit.good, limit.bad
    before: float | None = None
    sample = version.drift
    if sample is None and version.psi is not None:
        sample = Sample(devices=max(1, version.devices), mean=version.psi)
    if sample is None:
        if not evidence.profile:
            # Beside a champion there is always something to compare with, once it has come.
            has_come = version.compared == 0
            return None if has_come else _nothing_yet(limit, version.compared)
        sample = drift_of(
            version, evidence.profile, evidence.profile_columns, evidence.profile_rows
        )
        if sample is None:
            return _nothing_yet(limit)
        known = drift_of(
            evidence.champion,
            evidence.champion_profile,
            evidence.champion_profile_columns,
            evidence.profile_rows,
        )
        if known is not None:
            # Where the inputs have changed, what ran before has drifted as well.
            before = known.mean
            bad += max(0.0, before - good)
            good = max(good, before)
    outcome, prospect = _answer_sample(sample, (good, bad), PSI_SPREAD, risks)
    return Answer(
        outcome=outcome,
        value=sample.mean,
        good=good,
        bad=bad,
        samples=sample.devices,
        devices=sample.devices,
        champion=before,
        prospect=prospect,
    )


_ASK: Final[Mapping[str, Callable[[StageEvidence, Limit, Risks], Answer | None]]] = {
    "error_rate": _ask_errors,
    "disagreement": _ask_disagreement,
    "slow": _ask_slow,
    "old": _ask_old,
    "memory": _ask_memory,
    "psi": _ask_psi,
    "wrong": _ask_wrong,
}
