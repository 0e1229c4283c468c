"""A rollout as lines of text, one for each change: for pipes, logs and CI jobs. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from cloud_sync.cli import words
from cloud_sync.cli.rollout_tally import tally
from cloud_sync.cli.rollout_view import by_weight, event_line, measured, name_of
from cloud_sync.cli.waiting import unexpected, waits_text
from cloud_sync.rollout_resources import (
    GateFinding,
    RolloutDetail,
    RolloutEvent,
    RolloutSummary,
    StageState,
    StageSummary,
    Verdict,
)

PARTS: Final = 10
"""How often a stage's progress is worth a line, if all goes well."""


def changes(
    before: RolloutDetail | None, after: RolloutDetail, events: Sequence[RolloutEvent], now: float
) -> Iterator[str]:
    """What is to be said after a look.

    Args:
        before: what was seen last; None at the first look.
        after: what is seen now.
        events: of the rollout and its stages, since the last look.
        now: seconds since 1970; events have times of their own.
    """
    rollout = after.summary
    if before is None:
        yield f"{rollout.id}: {name_of(rollout)} into slot {rollout.slot}, to {rollout.to}"
    for event in events:
        yield f"{words.clock(event.time)}  {event_line(event)}"
    moment = words.clock(now)
    known = {stage.number: stage for stage in before.summary.stages} if before else {}
    for stage in rollout.stages:
        for text in _of_stage(known.get(stage.number), stage):
            yield f"{moment}  stage {stage.number + 1} {text}"
    waits = unexpected(after.waits)
    if {each.text for each in waits} - {each.text for each in (before.waits if before else ())}:
        yield f"{moment}  waits: {waits_text(waits, now)}"
    if rollout.needs and (before is None or before.summary.needs != rollout.needs):
        yield f"{moment}  what to do: {rollout.needs}"


def outcome(rollout: RolloutSummary) -> str:
    """How it ended, in one line."""
    reason = f": {rollout.state_reason}" if rollout.state_reason else ""
    return f"{rollout.id} {words.spaced(rollout.state)}{reason}"


def _of_stage(before: StageSummary | None, after: StageSummary) -> Iterator[str]:
    if _milestone(after) != _milestone_before(before, after):
        yield _progress(after)
    old, new = before.verdict if before else None, after.verdict
    if new is None:
        return
    lacking = _lacking(after)
    if lacking - (_lacking(before) if before else frozenset()):
        yield f"waits for evidence: {', '.join(sorted(map(words.spaced, lacking)))}"
    is_new = old is None or (old.outcome, old.text) != (new.outcome, new.text)
    # The transition that it led to says it already.
    if is_new and new.outcome != "waiting" and new.text not in after.reason:
        yield f"verdict {new.outcome}: {new.text}"
    for finding in _failing(old, new):
        yield (
            f"gate {words.spaced(finding.gate)} {finding.outcome}, "
            f"measured {measured(finding, finding.value)}, "
            f"limit {measured(finding, finding.limit)}, "
            f"of {words.count(finding.samples)}: {finding.text}"
        )


def _milestone_before(before: StageSummary | None, after: StageSummary) -> object:
    """What was said of it; a stage that has not begun needs no word."""
    return _milestone(before or replace(after, counts={}))


def _milestone(stage: StageSummary) -> object:
    """What is worth a line: every tenth of a stage, and every device that did not get there.

    A line for each device would be ten thousand of them, and one for each look hardly fewer.
    """
    found = tally(stage.counts)
    tenth, taken = (
        devices * PARTS // max(1, stage.size) for devices in (found.done(stage.step), found.taken)
    )
    return tenth, taken, found.failed, found.back, found.given_up


def _lacking(stage: StageSummary) -> frozenset[str]:
    """The gates that hold up a stage that is being judged; before that nobody asks."""
    if stage.verdict is None or stage.state is not StageState.JUDGING:
        return frozenset()
    waiting = (each for each in stage.verdict.findings if each.outcome == "waiting")
    return frozenset(finding.gate for finding in waiting)


def _progress(stage: StageSummary) -> str:
    found = tally(stage.counts)
    kinds = {
        "on the way": found.moving, "failed": found.failed, "went back": found.back,
        "taken by newer rollouts": found.taken, "given up": found.given_up,
    }  # fmt: skip
    what = "as shadow" if stage.step == "shadow" else "run it"
    parts = [f"{words.count(found.done(stage.step))}/{words.count(stage.size)} {what}"]
    parts += [f"{words.count(number)} {name}" for name, number in kinds.items() if number]
    return ", ".join(parts)


def _failing(before: Verdict | None, after: Verdict) -> Iterator[GateFinding]:
    """The gates that have failed since; what passes is told by the verdict, and by `status`."""
    known = {finding.gate: finding.outcome for finding in before.findings} if before else {}
    for finding in by_weight(after.findings):
        if finding.outcome == "failed" and known.get(finding.gate) != finding.outcome:
            yield finding
