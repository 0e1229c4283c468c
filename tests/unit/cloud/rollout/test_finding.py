"""What gates find in words: what was measured, and what would decide a gate that waits."""

import pytest

from cloud_sync.rollout.finding import Answer, in_words
from cloud_sync.rollout.gates import ask
from cloud_sync.rollout.observation import Counted, Measures, Sample, StageEvidence
from cloud_sync.rollout.rollout import Step
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import GateFinding


def found(
    gate: str, version: Measures, champion: Measures | None = None, step: Step = "run"
) -> GateFinding:
    evidence = StageEvidence(version=version, champion=champion or Measures())
    (finding,) = (one for one in ask(evidence, step, Policy()) if one.gate == gate)
    return finding


def failing(share: float, messages: int, devices: int) -> Measures:
    hits = share * messages
    counted = Counted(least=hits, most=hits, of=messages, devices=devices)
    return Measures(devices=devices, messages=messages, counted={"error_rate": counted})


def test_what_is_decided_is_said_with_its_figures() -> None:
    finding = found("error_rate", failing(0.08, 1_000, 1))
    assert finding.text == "messages that failed: 8 % of 1,000 messages, surely above 1 %"
    assert (finding.value, finding.samples, finding.limit) == (0.08, 1_000, 0.01)
    assert (finding.need, finding.champion) == ("", None)
    good = found("error_rate", failing(0.0, 5_000, 5), failing(0.001, 90_000, 5))
    assert (
        good.text == "messages that failed: 0 % of 5,000 messages, 0.1 % before, surely below 3 %"
    )
    assert good.champion == pytest.approx(0.001)


def test_few_messages_are_told_how_many_would_do() -> None:
    finding = found("error_rate", failing(0.0, 200, 1))
    assert finding.need == "messages"
    assert finding.text.endswith("too few messages to tell it from 3 %, about 300 would")
    assert found("error_rate", failing(0.0, 300, 1)).outcome == "passed"


def test_a_version_slightly_worse_than_a_bad_champion_is_told_to_need_devices() -> None:
    version, champion = failing(0.06, 12_000, 1), failing(0.04, 12_000, 1)
    finding = found("error_rate", version, champion)
    assert (finding.outcome, finding.need) == ("waiting", "devices")
    assert finding.text == (
        "messages that failed: 6 % of 12,000 messages, 4 % before, "
        "too few devices to tell it from 6 %, about 5 would"
    )
    many = found("error_rate", failing(0.06, 60_000, 5), failing(0.04, 60_000, 5))
    assert many.outcome == "failed"


def test_what_lies_in_the_middle_is_for_a_person_to_judge() -> None:
    # A histogram cannot say on which side of the bound they were.
    inside = Counted(least=0, most=3_000, of=3_000, devices=3)
    version = Measures(devices=3, messages=3_000, counted={"error_rate": inside})
    finding = found("error_rate", version)
    assert (finding.outcome, finding.need) == ("waiting", "judgement")
    assert finding.text.endswith("neither surely good, up to 1 %, nor surely bad, from 3 %")


def test_a_figure_of_each_device_needs_devices_and_a_noisy_one_messages() -> None:
    fat = Measures(devices=1, messages=900, memory=Sample(devices=1, mean=0.3))
    finding = found("memory", fat)
    assert (finding.outcome, finding.need) == ("waiting", "devices")
    assert "1.35 of 1 device, too few devices to tell it from 1.50, about 2 would" in finding.text
    noisy = Sample(devices=1, mean=0.4, noise=8 * 0.4 / 200, bias=34 / 200)
    drifting = Measures(devices=1, messages=200, compared=200, drift=noisy)
    finding = found("psi", drifting, step="shadow")
    assert (finding.outcome, finding.need) == ("waiting", "messages")
    assert finding.text.endswith("too few messages to tell it from 0.25")


def test_what_was_not_measured_needs_messages() -> None:
    finding = found("error_rate", Measures())
    assert (finding.outcome, finding.value, finding.need) == ("waiting", None, "messages")
    assert finding.text == "messages that failed: not measured yet"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (1.0, "100 %"),
        (0.9999, "99.9 %"),
        (0.995, "99.5 %"),
        (0.99, "99 %"),
        (0.31, "31 %"),
        (0.0316, "3.2 %"),
        (0.0004, "0.04 %"),
        (0.000001, "< 0.001 %"),
        (0.0, "0 %"),
    ],
)
def test_shares_are_said_in_the_digits_that_tell(share: float, words: str) -> None:
    answer = Answer(outcome="failed", value=share, good=0.0, bad=1.0, samples=9)
    assert in_words("slow", answer).text.startswith(f"messages that took too long: {words} of 9")
