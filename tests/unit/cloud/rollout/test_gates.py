"""What gates make of evidence: they stop what is bad, pass what is good, and wait for the rest."""

import pytest

from cloud_sync.errors import InvalidInput
from cloud_sync.rollout.gates import ask, check_gates, number_of_tests
from cloud_sync.rollout.observation import Counted, Measures, Sample, StageEvidence
from cloud_sync.rollout.rollout import Step
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import GateFinding
from edge_agent.contract.messages import TIME_BOUNDS_MS

LABELLED = Policy(gates=Gates(wrong=Limit(good=0.02, bad=0.06)))


def spread_over(**counts: int) -> tuple[int, ...]:
    """Durations by the bound of their bucket, as `ms5=10`."""
    found = [0] * (len(TIME_BOUNDS_MS) + 1)
    for name, count in counts.items():
        found[TIME_BOUNDS_MS.index(float(name[2:]))] = count
    return tuple(found)


def found(
    version: Measures,
    champion: Measures | None = None,
    *,
    step: Step = "run",
    policy: Policy = LABELLED,
    **more: object,
) -> dict[str, GateFinding]:
    evidence = StageEvidence(version=version, champion=champion or Measures(), **more)  # type: ignore[arg-type]
    return {finding.gate: finding for finding in ask(evidence, step, policy)}


def outcome(name: str, version: Measures, champion: Measures | None = None, **more: object) -> str:
    return found(version, champion, **more)[name].outcome  # type: ignore[arg-type]


def test_nothing_measured_never_passes() -> None:
    for step in ("shadow", "run"):
        findings = found(Measures(), Measures(), step=step)  # type: ignore[arg-type]
        assert findings
        assert {finding.outcome for finding in findings.values()} == {"waiting"}


@pytest.mark.parametrize(
    ("messages", "errors", "expected"),
    [
        (200, 0, "waiting"),
        (1_000, 0, "passed"),
        (1_000, 3, "passed"),
        (3_000, 60, "waiting"),
        (1_000, 80, "failed"),
        (60, 30, "failed"),
    ],
)
def test_errors_of_one_device(messages: int, errors: int, expected: str) -> None:
    assert outcome("error_rate", Measures(devices=1, messages=messages, errors=errors)) == expected


def test_a_version_with_the_errors_of_its_champion_is_not_stopped() -> None:
    champion = Measures(devices=10, messages=20_000, errors=1_000)
    version = Measures(devices=10, messages=20_000, errors=1_010)
    assert outcome("error_rate", version) == "failed"
    assert outcome("error_rate", version, champion) == "passed"
    worse = Measures(devices=10, messages=20_000, errors=2_000)
    assert outcome("error_rate", worse, champion) == "failed"


def test_a_champion_that_is_hardly_measured_excuses_nothing() -> None:
    champion = Measures(devices=1, messages=5, errors=1)
    version = Measures(devices=1, messages=2_000, errors=400)
    assert outcome("error_rate", version, champion) == "failed"


def test_bursts_stop_no_version_that_would_pass_for_its_rate() -> None:
    def errors(design: float) -> Measures:
        counted = Counted(least=90, most=90, of=3_000, devices=3, design=design)
        return Measures(devices=3, messages=3_000, errors=90, counted={"error_rate": counted})

    assert outcome("error_rate", errors(1)) == "failed"
    assert outcome("error_rate", errors(30)) == "waiting"


def test_slow_is_what_takes_longer_than_the_manifest_allows() -> None:
    fast = Measures(devices=3, messages=3_000, total=spread_over(ms5=3_000))
    slow = Measures(devices=3, messages=3_000, total=spread_over(ms5=2_700, ms25=300))
    assert outcome("slow", fast, max_p99_ms=5.0) == "passed"
    assert outcome("slow", slow, max_p99_ms=5.0) == "failed"


def test_slow_is_else_what_takes_twice_as_long_as_the_champion_did() -> None:
    champion = Measures(devices=3, messages=3_000, total=spread_over(ms5=3_000))
    slow = Measures(devices=3, messages=3_000, total=spread_over(ms5=2_600, ms25=400))
    assert outcome("slow", champion, champion) == "passed"
    assert outcome("slow", slow, champion) == "failed"
    assert "slow" not in found(slow), "nothing to compare with"


def test_a_limit_inside_a_bucket_neither_stops_nor_passes_what_fell_into_it() -> None:
    inside = Measures(devices=3, messages=3_000, total=spread_over(ms10=3_000))
    assert outcome("slow", inside, max_p99_ms=7.0) == "waiting"
    counted = {"slow": Counted(least=0, most=5, of=3_000, devices=3)}
    known = Measures(devices=3, messages=3_000, total=spread_over(ms10=3_000), counted=counted)
    assert outcome("slow", known, max_p99_ms=7.0) == "passed"


def test_ages_are_asked_for_only_where_messages_have_had_one() -> None:
    champion = Measures(devices=3, messages=3_000, ages=spread_over(ms50=3_000))
    version = Measures(devices=3, messages=3_000)
    assert "old" not in found(version)
    assert outcome("old", version, champion) == "waiting"
    late = Measures(devices=3, messages=3_000, ages=spread_over(ms50=2_000, ms500=1_000))
    assert outcome("old", late, champion) == "failed"


def test_how_long_a_shadow_takes_says_nothing() -> None:
    findings = found(
        Measures(devices=1, messages=900, total=spread_over(ms1000=900)),
        Measures(devices=1, messages=900, total=spread_over(ms1=900)),
        step="shadow",
        max_p99_ms=1.0,
    )
    assert not {"slow", "old"} & findings.keys()


@pytest.mark.parametrize(
    ("differed", "expected"), [(5, "passed"), (60, "waiting"), (200, "failed")]
)
def test_answers_that_differ_from_the_champions(differed: int, expected: str) -> None:
    version = Measures(devices=1, messages=1_500, compared=1_500, differed=differed)
    assert outcome("disagreement", version, step="shadow") == expected


@pytest.mark.parametrize(
    ("memory_mb", "expected"), [(100, "passed"), (125, "waiting"), (170, "failed")]
)
def test_memory_beside_the_champions(memory_mb: float, expected: str) -> None:
    version = Measures(devices=1, messages=9, memory_mb=memory_mb)
    assert outcome("memory", version, Measures(devices=1, memory_mb=100)) == expected


def test_memory_of_many_devices_is_surer_than_that_of_one() -> None:
    version = Measures(devices=9, messages=9, memory=Sample(devices=9, mean=0.17, variance=0.006))
    assert outcome("memory", version) == "passed"
    alone = Measures(devices=1, messages=9, memory=Sample(devices=1, mean=0.17))
    assert outcome("memory", alone) == "waiting"
    torn = Measures(devices=9, messages=9, memory=Sample(devices=9, mean=0.17, variance=1.0))
    assert outcome("memory", torn) == "waiting"


def test_drift_beside_the_champion() -> None:
    def drift(mean: float, pairs: float) -> Measures:
        sample = Sample(devices=1, mean=mean, noise=8 * mean / pairs, bias=34 / pairs)
        return Measures(devices=1, messages=999, compared=999, drift=sample)

    assert outcome("psi", drift(0.01, 2_000), step="shadow") == "passed"
    assert outcome("psi", drift(0.4, 2_000), step="shadow") == "failed"
    assert outcome("psi", drift(0.4, 200), step="shadow") == "waiting"
    assert outcome("psi", Measures(messages=99, compared=99), step="shadow") == "waiting"


def test_drift_from_the_reference_profile_unless_the_champion_has_drifted_as_well() -> None:
    even = (0.25,) * 4
    drifted = Measures(devices=9, messages=9_000, scores=(6_000, 1_000, 1_000, 1_000))
    same = Measures(devices=9, messages=9_000, scores=(2_250,) * 4)
    profile = {"profile": even, "profile_columns": (4,), "profile_rows": 10_000}
    assert outcome("psi", same, **profile) == "passed"
    assert outcome("psi", drifted, **profile) == "failed"
    both = {"champion_profile": even, "champion_profile_columns": (4,)}
    assert outcome("psi", drifted, drifted, **profile, **both) == "passed"
    assert outcome("psi", Measures(messages=99), **profile) == "waiting"
    assert "psi" not in found(drifted), "no profile"


def test_labels_tell_what_was_answered_wrongly() -> None:
    assert outcome("wrong", Measures(devices=5, messages=9, right=400, wrong=100)) == "failed"
    assert outcome("wrong", Measures(devices=5, messages=9, right=990, wrong=2)) == "passed"
    assert "wrong" not in found(Measures(right=1, wrong=99), policy=Policy())


def test_more_stages_ask_for_stronger_evidence_to_stop() -> None:
    version = Measures(devices=1, messages=1_500, errors=44)
    assert number_of_tests(Policy()) == 2 * 4 + 5 * 5
    assert number_of_tests(Policy(gates=None)) == 0
    short = Policy(stages=("100%",), shadow_stages=0)
    assert outcome("error_rate", version, policy=short) == "failed"
    assert outcome("error_rate", version, policy=Policy(stages=("1%",) * 50)) == "waiting"


def test_a_gate_that_is_none_is_not_asked() -> None:
    only = Policy(gates=Gates(slow=None, old=None, memory=None, psi=None, disagreement=None))
    version = Measures(devices=1, messages=9, memory_mb=900)
    assert set(found(version, Measures(memory_mb=1), policy=only)) == {"error_rate"}
    assert not found(version, policy=Policy(gates=None))


def test_zero_may_be_what_is_good() -> None:
    none_at_all = Policy(gates=Gates(error_rate=Limit(good=0, bad=0.01)))
    clean = Measures(devices=3, messages=5_000)
    assert outcome("error_rate", clean, policy=none_at_all) == "passed"
    some = Measures(devices=3, messages=5_000, errors=100)
    assert outcome("error_rate", some, policy=none_at_all) == "failed"


@pytest.mark.parametrize(("good", "bad"), [(0.03, 0.01), (0.01, 0.01), (-0.1, 0.1)])
def test_limits_that_no_evidence_can_meet_are_refused(good: float, bad: float) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_gates(Gates(slow=Limit(good=good, bad=bad)))
    assert caught.value.code == "gates_invalid"
    check_gates(Gates())


def test_a_share_that_nothing_can_reach_is_refused_and_a_factor_is_not() -> None:
    with pytest.raises(InvalidInput, match="found bad 7") as caught:
        check_gates(Gates(error_rate=Limit(good=0.01, bad=7)))
    assert "7 % is 0.07" in caught.value.hint
    check_gates(Gates(memory=Limit(good=1.0, bad=7)))
