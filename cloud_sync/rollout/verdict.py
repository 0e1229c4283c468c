"""The verdict of a stage: how many devices run the version, and what it did there. Pure.

Called as often as one likes, from the first offer on: it may fail a stage at any time, and passes
one only when that is to be judged. What is not known never passes: it waits, and when the time for
that is over the stage is inconclusive, which is a person's business.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from cloud_sync.rollout.gates import ask
from cloud_sync.rollout.observation import DeviceNow, StageEvidence
from cloud_sync.rollout.rollout import Assignment, Stage
from cloud_sync.rollout.sequential import at_least
from cloud_sync.rollout.weighing import Outcome
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, GateFinding, StageState, Verdict
from edge_agent.contract.state import UNSETTLED

BY_SHARE: Final = 50
"""From so many attempted devices on their share itself is judged; of fewer, what it proves."""

DOUBT: Final = 0.05
"""So improbable must as many failures be on a version that fails as often as it may."""

LATE_GATE: Final = "wrong"
"""Labels come late by nature: this gate fails a stage, and never holds one up."""

FORGED: Final = frozenset({"digest_mismatch", "integrity", "blob_too_large"})
"""Codes of a device that got other bytes than it was promised.

Not `truncated`, which is a connection that ended, nor `blob_damaged`, which is the device's disk.
"""

_A: Final = AssignmentState
_BAD: Final = frozenset({_A.REJECTED, _A.FAILED, _A.ROLLED_BACK, _A.TIMED_OUT})
_GONE: Final = frozenset({_A.EXPIRED, _A.SUPERSEDED, _A.NOT_APPLICABLE, _A.ALREADY_PRESENT})
_ENDED: Final = _BAD | _GONE
_FIRST_SHOWN: Final = 3


def judge(
    stage: Stage,
    assignments: Sequence[Assignment],
    devices: Mapping[str, DeviceNow],
    evidence: StageEvidence,
    policy: Policy,
    now: float,
) -> Verdict:
    """Judge a stage.

    Args:
        stage: as it is; "passed" and "inconclusive" are only found of one in state JUDGING.
        assignments: of this stage.
        devices: what is known of them, by name.
        evidence: what the version did there, and the champion.
        policy: of the rollout.
        now: seconds since 1970.
    """
    if stage.state is StageState.JUDGING and is_deserted(assignments):
        return _deserted(stage, assignments, policy)
    findings = [
        *_stops(assignments, devices),
        *_devices_done(stage, assignments, policy),
        *ask(evidence, stage.step, policy),
    ]
    if stage.state is StageState.JUDGING:
        findings.extend(_offline(assignments, devices, policy))
    failed = [finding for finding in findings if finding.outcome == "failed"]
    waiting = [
        finding
        for finding in findings
        if finding.outcome == "waiting" and finding.gate != LATE_GATE
    ]
    shown = tuple(findings)
    if failed:
        return Verdict(outcome="failed", text=_told(failed), findings=shown)
    if stage.state is not StageState.JUDGING:
        return Verdict(outcome="waiting", text=_told(waiting) or "so far so good", findings=shown)
    if not waiting:
        return Verdict(outcome="passed", text="all gates passed", findings=shown)
    if stage.deadline is not None and now >= stage.deadline:
        text = f"not enough is known: {_told(waiting)}{_what_to_do(waiting)}"
        return Verdict(outcome="inconclusive", text=text, findings=shown)
    return Verdict(outcome="waiting", text=_told(waiting), findings=shown)


def is_deserted(assignments: Sequence[Assignment]) -> bool:
    """Whether no device of a stage is left to be judged."""
    return all(found.state in _GONE for found in assignments)


def _deserted(stage: Stage, assignments: Sequence[Assignment], policy: Policy) -> Verdict:
    """A stage that nobody has tried the version in proves nothing to the ones behind it.

    It passes only where there is nothing to prove: its devices ran the version before, or the
    policy asks for no success at all. A shadow step leaves the judgement to the step after it.
    """
    counts = Counter(found.state for found in assignments)
    is_harmless = counts.keys() <= {_A.ALREADY_PRESENT}
    if is_harmless or stage.step == "shadow" or policy.min_success <= 0:
        return Verdict(outcome="passed", text="no device of it is left to be judged")
    gone = ", ".join(f"{count} {str(state).replace('_', ' ')}" for state, count in counts.items())
    text = f"none of its devices has tried the version: {gone}"
    return Verdict(outcome="inconclusive", text=text)


def is_stopped(assignments: Sequence[Assignment], devices: Mapping[str, DeviceNow]) -> bool:
    """Whether something was seen that stops a stage at once, whatever its policy asks for."""
    return next(_stops(assignments, devices), None) is not None


def judge_labels(evidence: StageEvidence, policy: Policy) -> Verdict:
    """Judge a rollout that is finished by the labels that came since; it fails, or goes on."""
    findings = tuple(
        finding for finding in ask(evidence, "run", policy) if finding.gate == LATE_GATE
    )
    failed = [finding for finding in findings if finding.outcome == "failed"]
    return Verdict(
        outcome="failed" if failed else "waiting",
        text=_told(failed) or "no label speaks against it",
        findings=findings,
    )


def may_fail(failures: int, attempted: int, policy: Policy) -> bool:
    """Whether so many failures are no proof that more fail than may.

    From `BY_SHARE` devices on, and below the smallest sample, their share is what counts; between
    them a one-sided bound: a broken disk in a stage of ten says nothing about the version.
    """
    if not failures:
        return True
    allowed = min(policy.max_failure, 1 - policy.min_success)
    if attempted >= BY_SHARE or attempted < policy.min_sample:
        return failures <= allowed * attempted + 1e-9
    return at_least(failures, attempted, allowed) > DOUBT


def _devices_done(
    stage: Stage, assignments: Sequence[Assignment], policy: Policy
) -> Iterator[GateFinding]:
    """How many devices run it, of those that were attempted and are at an end."""
    done = {_A.COMMITTED, _A.SHADOW if stage.step == "shadow" else _A.COMMITTED}
    counts = Counter(_state(found) for found in assignments)
    bad = sum(counts[state] for state in _BAD)
    good = sum(counts[state] for state in done)
    attempted = good + bad
    open_ones = sum(count for state, count in counts.items() if state not in _ENDED | done)
    is_early = stage.state in (StageState.WAITING, StageState.FILLING)
    is_small = attempted < policy.min_sample and (is_early or open_ones > 0)
    is_ok = may_fail(bad, attempted, policy) and (good > 0 or not bad or policy.min_success <= 0)
    if attempted or open_ones:
        outcome: Outcome = (
            "waiting" if is_small or not attempted else "passed" if is_ok else "failed"
        )
        share = bad / attempted if attempted else None
        yield GateFinding(
            gate="failure" if outcome == "failed" else "success",
            outcome=outcome,
            value=share if outcome == "failed" or share is None else 1 - share,
            limit=policy.max_failure if outcome == "failed" else policy.min_success,
            samples=attempted,
            text=f"{good} of {attempted} attempted devices run it"
            + (f", {bad} failed" if bad else "")
            + (f", {open_ones} not at an end" if open_ones else ""),
        )


def _state(assignment: Assignment) -> AssignmentState:
    """A device that was told to go back, and was away then, does not speak for the version."""
    is_told_back = assignment.revision > 0 and not assignment.is_wanted
    if is_told_back and assignment.state in (_A.COMMITTED, _A.SHADOW):
        return _A.ROLLED_BACK
    return assignment.state


def _offline(
    assignments: Sequence[Assignment], devices: Mapping[str, DeviceNow], policy: Policy
) -> Iterator[GateFinding]:
    there = [found.device for found in assignments if found.state not in _GONE]
    away = [name for name in there if name not in devices or devices[name].presence != "online"]
    if there and policy.max_offline < 1:
        share = len(away) / len(there)
        yield GateFinding(
            gate="offline",
            outcome="waiting" if share > policy.max_offline else "passed",
            value=share,
            limit=policy.max_offline,
            samples=len(there),
            text=f"{len(away)} of {len(there)} devices are away",
        )


def _stops(
    assignments: Sequence[Assignment], devices: Mapping[str, DeviceNow]
) -> Iterator[GateFinding]:
    """What stops a stage at once: other bytes than promised, or a device that runs nothing."""
    forged, stuck = [], []
    for found in assignments:
        is_asked = found.state is not _A.QUEUED or found.is_wanted
        if found.state in _GONE or not is_asked:
            continue
        device = devices.get(found.device)
        if found.evidence.get("code", "") in FORGED or _is_forged(found, device):
            forged.append(found.device)
        elif _is_stuck(found, device):
            stuck.append(found.device)
    for gate, names, text in (
        ("digest", forged, "got other bytes than they were promised"),
        ("stuck", stuck, "run neither the new version nor the one before"),
    ):
        if names:
            first = ", ".join(sorted(names)[:_FIRST_SHOWN])
            more = f" and {len(names) - _FIRST_SHOWN} more" if len(names) > _FIRST_SHOWN else ""
            yield GateFinding(
                gate=gate,
                outcome="failed",
                value=float(len(names)),
                limit=0.0,
                samples=len(assignments),
                text=f"{first}{more} {text}",
            )


def _is_forged(assignment: Assignment, seen: DeviceNow | None) -> bool:
    """Whether a device says that it got other bytes, and has not got the right ones since."""
    if seen is None or seen.revision_seen < assignment.revision:
        return False  # what it says is of an offer before this one
    return any(
        slot is not None
        and slot.wanted == assignment.digest
        and slot.error is not None
        and slot.error.code in FORGED
        and slot.running != assignment.digest
        for slot in (seen.slot, seen.shadow)
    )


def _is_stuck(assignment: Assignment, seen: DeviceNow | None) -> bool:
    """Whether a device runs nothing, and comes neither to the new version nor back."""
    previous = assignment.previous
    if previous is None or seen is None or seen.slot is None:
        return False
    slot = seen.slot
    return (
        seen.revision_seen >= assignment.revision
        and slot.wanted in (assignment.digest, previous.digest)
        and slot.phase in UNSETTLED
        and not slot.running
    )


def _what_to_do(waiting: Sequence[GateFinding]) -> str:
    """What a person can do about gates that were not decided in time; empty if they know it."""
    needs = {finding.need for finding in waiting}
    if "judgement" in needs:
        return (
            "; waiting will not tell whether that is good or bad, a person has to: take it back, "
            "or begin anew with limits that say it"
        )
    if "devices" in needs:
        return (
            "; waiting will not tell, the first stages have too few devices: begin anew with more "
            "in them, or take it back"
        )
    return "; resume it to wait for more messages" if "messages" in needs else ""


def _told(findings: Sequence[GateFinding]) -> str:
    return "; ".join(f"{finding.gate.replace('_', ' ')}: {finding.text}" for finding in findings)
