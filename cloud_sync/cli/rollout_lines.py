"""A rollout as lines of text, one for each change: for pipes, logs and CI jobs. Pure."""

from collections.abc import Iterator, Sequence

from cloud_sync.cli import words
from cloud_sync.cli.rollout_tally import tally
from cloud_sync.cli.rollout_view import by_weight, event_line, measured, name_of
from cloud_sync.cli.waiting import unexpected, waits_text
from cloud_sync.rollout_resources import (
    GateFinding,
    RolloutDetail,
    RolloutEvent,
    RolloutSummary,
    StageSummary,
    Verdict,
)


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
    if tally(after.counts) != _tally_before(before, after):
        yield _progress(after)
    old, new = before.verdict if before else None, after.verdict
    if new is None:
        return
    # While evidence comes in its text changes with every look: that is no change yet.
    is_new = old is None or old.outcome != new.outcome
    is_other = old is not None and old.text != new.text and new.outcome != "waiting"
    # The transition that it led to says it already.
    if (is_new or is_other) and new.text != after.reason:
        yield f"verdict {new.outcome}: {new.text}"
    for finding in _changed(old, new):
        yield (
            f"gate {words.spaced(finding.gate)} {finding.outcome}, "
            f"measured {measured(finding, finding.value)}, "
            f"limit {measured(finding, finding.limit)}, "
            f"of {words.count(finding.samples)}: {finding.text}"
        )


def _tally_before(before: StageSummary | None, after: StageSummary) -> object:
    """What was said of it; a stage that has not begun needs no word."""
    return tally(before.counts) if before else tally({"queued": after.size})


def _progress(stage: StageSummary) -> str:
    found = tally(stage.counts)
    kinds = {
        "on the way": found.moving, "failed": found.failed, "went back": found.back,
        "left out": found.left_out,
    }  # fmt: skip
    what = "as shadow" if stage.step == "shadow" else "run it"
    parts = [f"{words.count(found.done(stage.step))}/{words.count(stage.size)} {what}"]
    parts += [f"{words.count(number)} {name}" for name, number in kinds.items() if number]
    return ", ".join(parts)


def _changed(before: Verdict | None, after: Verdict) -> Iterator[GateFinding]:
    known = {finding.gate: finding.outcome for finding in before.findings} if before else {}
    for finding in by_weight(after.findings):
        if known.get(finding.gate) != finding.outcome:
            yield finding
