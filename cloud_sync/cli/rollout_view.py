"""How a rollout is drawn, the same wherever it is shown: facts, stages, verdicts, evidence.

A terminal of 80 characters has no room for every column: the least important ones are left out
there, and no value is cut. Stages are counted from 1, as people do.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from cloud_sync.cli import words
from cloud_sync.cli.output import (
    Cell,
    Column,
    Row,
    Strip,
    console,
    print_facts,
    print_line,
    print_table,
    right,
    table_width,
    terminal_columns,
)
from cloud_sync.cli.rollout_tally import Tally, bar, legend, style_of, tally, tally_all
from cloud_sync.cli.status import Sheet
from cloud_sync.cli.waiting import waits_text
from cloud_sync.rollout_resources import (
    AssignmentState,
    GateFinding,
    RolloutDetail,
    RolloutEvent,
    RolloutState,
    RolloutSummary,
    StageState,
    StageSummary,
    Verdict,
)
from cloud_sync.rollout_waiting import WaitCount

LEAST_BAR: Final = 10
WIDEST_BAR: Final = 30
PIPE_BAR: Final = 20

ENDED: Final = frozenset(
    {
        RolloutState.COMPLETED,
        RolloutState.COMPLETED_DEGRADED,
        RolloutState.ROLLED_BACK,
        RolloutState.ROLLBACK_INCOMPLETE,
        RolloutState.CANCELLED,
        RolloutState.SUPERSEDED,
    }
)
"""Nothing follows unless somebody asks, or a device changes."""

COMPLETED: Final = frozenset({RolloutState.COMPLETED, RolloutState.COMPLETED_DEGRADED})
"""What a script calls good."""

WAITS: Final = frozenset({RolloutState.DRAFT, RolloutState.PENDING_APPROVAL, RolloutState.PAUSED})
"""Nothing happens until a person says so."""

_STATES: Final[Mapping[str, str]] = {
    "running": "cyan", "paused": "yellow", "pending_approval": "yellow", "completed": "green",
    "completed_degraded": "yellow", "rolling_back": "red", "rolled_back": "red",
    "rollback_incomplete": "red", "passed": "green", "failed": "red", "inconclusive": "yellow",
    "filling": "cyan", "soaking": "cyan", "judging": "cyan",
}  # fmt: skip
_OUTCOMES: Final[Mapping[str, str]] = {
    "passed": "green", "failed": "red", "inconclusive": "yellow", "waiting": "cyan"
}  # fmt: skip
_SHARES: Final = frozenset(
    {"success", "failure", "offline", "error_rate", "slow", "old", "disagreement", "wrong"}
)
_LEFT_OUT_FIRST: Final = ("messages", "ends", "for")


def outcome_style(outcome: str) -> str:
    """The colour of what a gate or a verdict says."""
    return _OUTCOMES.get(outcome, "")


def state_cell(state: str, more: str = "") -> Cell:
    """A state in its colour."""
    return Cell(f"{words.spaced(state)}{more}", _STATES.get(state, ""))


def assignment_cell(state: AssignmentState) -> Cell:
    """Where a device stands, in the colour of its kind."""
    return Cell(words.spaced(state), style_of(state))


def name_of(rollout: RolloutSummary) -> str:
    """What it is about: `wine/3`, or the pattern of each device's own."""
    return rollout.module if rollout.per_device else f"{rollout.module}/{rollout.version}"


def facts(
    rollout: RolloutSummary, now: float, waits: Sequence[WaitCount] = ()
) -> dict[str, str | Cell | Strip]:
    """What it is, where it stands, why, what it waits for, and what a person has to do."""
    since = rollout.state_since or rollout.started or rollout.created
    asked = f"{rollout.created_by}, {words.since(rollout.created, now)}"
    found: dict[str, str | Cell | Strip] = {
        "rollout": f"{rollout.id}: {name_of(rollout)} into slot {rollout.slot}",
        "to": rollout.to,
        "asked by": f"{asked}: {rollout.reason}" if rollout.reason else asked,
        "state": state_cell(rollout.state, f" for {words.duration(max(0.0, now - since))}"),
    }
    if rollout.state_reason:
        found["because"] = rollout.state_reason
    if rollout.trouble:
        found["trouble"] = Cell(rollout.trouble, "yellow")
    if rollout.stages:
        found["devices"] = legend(tally_all(rollout.stages), is_ascii=not can_draw())
    if rollout.left_out:
        found["left out"] = (
            f"{_states(rollout.left_out)}: shoal rollout status {rollout.id} --devices "
            + " ".join(f"--state {state}" for state in rollout.left_out)
        )
    if said := waits_text(waits, now):
        found["waits"] = said
    if rollout.needs:
        found["what to do"] = Cell(rollout.needs, "bold")
    if rollout.state in WAITS and rollout.deadline is not None:
        found["otherwise"] = f"cancelled {words.until(rollout.deadline - now)}"
    return found


def _states(counts: Mapping[str, int]) -> str:
    """How many devices are in which state: `3 already present, 1 not applicable`."""
    return ", ".join(
        f"{words.count(number)} {words.spaced(state)}" for state, number in counts.items()
    )


def stage_sheet(stages: Sequence[StageSummary], now: float, width: int | None) -> Sheet:
    """A line with a bar for every stage.

    Args:
        stages: in their order.
        now: seconds since 1970.
        width: characters in a line, or None if lines have no end.
    """
    tallies = {stage.number: tally(stage.counts) for stage in stages}
    cells: dict[Column, list[str | Cell]] = {
        Column("stage"): [str(stage.number + 1) for stage in stages],
        right("done"): [_done(stage, tallies[stage.number]) for stage in stages],
        right("moving"): [_number(found.moving) for found in tallies.values()],
        right("failed"): [_number(found.failed, "red") for found in tallies.values()],
        right("back"): [_number(found.back, "magenta") for found in tallies.values()],
        right("taken"): [_number(found.taken, "blue") for found in tallies.values()],
        right("given up"): [_number(found.given_up) for found in tallies.values()],
        Column("state"): [_stage_state(stage) for stage in stages],
        Column("for"): [_stage_since(stage, now) for stage in stages],
        Column("ends"): [_stage_end(stage, now) for stage in stages],
        right("messages"): [_number(stage.messages) for stage in stages],
    }
    rare = [right(title) for title in ("back", "taken", "given up", "messages")]
    for column in [*rare, Column("ends")]:
        if all(cell == words.NOTHING for cell in cells[column]):
            del cells[column]
    for title in _LEFT_OUT_FIRST:
        if width is None or _bar_room(cells, width) >= LEAST_BAR:
            break
        cells = {column: values for column, values in cells.items() if column.title != title}
    room = PIPE_BAR if width is None else _bar_room(cells, width)
    length = min(max(room, LEAST_BAR), WIDEST_BAR)
    is_ascii = not can_draw()
    first, *others = cells
    rows: list[Row] = [
        (
            cells[first][line],
            bar(tallies[stage.number], length, is_ascii=is_ascii),
            *(cells[column][line] for column in others),
        )
        for line, stage in enumerate(stages)
    ]
    return Sheet((first, Column("progress"), *others), rows)


def can_draw() -> bool:
    """Whether blocks can be written to standard output."""
    try:
        # A live display stands in front of standard output, and knows no encoding.
        "█▓▒·".encode(getattr(console().file, "encoding", None) or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def focus(stages: Sequence[StageSummary]) -> StageSummary | None:
    """The stage that people want to know about: the last one that has begun."""
    begun = [stage for stage in stages if stage.state is not StageState.WAITING]
    return begun[-1] if begun else None


def verdict_sheet(stages: Sequence[StageSummary]) -> Sheet:
    """What each stage was found to be, and why."""
    columns = (Column("stage"), Column("verdict"), Column("why", wraps=True))
    rows: list[Row] = [
        (
            str(stage.number + 1),
            Cell(stage.verdict.outcome, outcome_style(stage.verdict.outcome)),
            verdict_text(stage.verdict),
        )
        for stage in stages
        if stage.verdict is not None
    ]
    return Sheet(columns, rows)


def evidence_sheet(stage: StageSummary) -> Sheet:
    """What the verdict of a stage rests on, gate by gate; what failed stands first."""
    columns = (
        Column("gate"),
        Column("says"),
        right("measured"),
        right("limit"),
        right("of"),
        Column("evidence", wraps=True),
    )
    findings = stage.verdict.findings if stage.verdict else ()
    rows: list[Row] = [
        (
            words.spaced(finding.gate),
            Cell(finding.outcome, outcome_style(finding.outcome)),
            measured(finding, finding.value),
            measured(finding, finding.limit),
            words.count(finding.samples),
            finding.text,
        )
        for finding in by_weight(findings)
    ]
    return Sheet(columns, rows)


def by_weight(findings: Sequence[GateFinding]) -> list[GateFinding]:
    """What failed first, then what waits, then what passed."""
    order = {"failed": 0, "waiting": 1, "passed": 2}
    return sorted(findings, key=lambda finding: order[finding.outcome])


def measured(finding: GateFinding, value: float | None) -> str:
    """A gate's value in its unit."""
    if value is None:
        return words.NOTHING
    if finding.gate in _SHARES:
        return words.percent(value)
    return f"{value:.2f}x" if finding.gate == "memory" else f"{value:.3g}"


def event_line(event: RolloutEvent) -> str:
    """A transition in one line, without its time: what, who, why."""
    what = f"stage {event.stage + 1}" if event.stage is not None else "rollout"
    if event.device:
        what = event.device
    change = words.spaced(event.after)
    if event.before and event.before != event.after:
        change = f"{words.spaced(event.before)} -> {change}"
    # An order's reason names who gave it already.
    if event.reason.endswith(f" by {event.actor}"):
        return f"{what} {change}, {event.reason}"
    reason = event.reason.removeprefix(f"{event.actor}: ")
    return f"{what} {change}, by {event.actor}" + (f": {reason}" if reason else "")


def verdict_text(verdict: Verdict) -> str:
    """Why a stage is what it is found to be; while it waits, the gates that it waits for.

    What each of them has and lacks stands in the evidence.
    """
    lacking = [finding.gate for finding in verdict.findings if finding.outcome == "waiting"]
    if verdict.outcome != "waiting" or not lacking:
        return verdict.text
    return f"for evidence: {', '.join(map(words.spaced, lacking))}"


def print_rollout(detail: RolloutDetail, now: float) -> None:
    """Print a rollout."""
    print_facts(facts(detail.summary, now, detail.waits))
    for sheet in sheets(detail.summary, now, terminal_columns()):
        print_line("")
        print_table(sheet.columns, sheet.rows, "")


def sheets(rollout: RolloutSummary, now: float, width: int | None) -> Iterator[Sheet]:
    """The tables below a rollout's facts; those that have nothing to say are left out."""
    if rollout.stages:
        yield stage_sheet(rollout.stages, now, width)
    verdicts = verdict_sheet(rollout.stages)
    if verdicts.rows:
        yield verdicts
    stage = focus(rollout.stages)
    if stage is not None and stage.verdict is not None and stage.verdict.findings:
        yield evidence_sheet(stage)


def _done(stage: StageSummary, found: Tally) -> str:
    return f"{words.count(found.done(stage.step))}/{words.count(stage.size)}"


def _number(number: int, style: str = "") -> str | Cell:
    return Cell(words.count(number), style) if number else words.NOTHING


def _stage_state(stage: StageSummary) -> Cell:
    is_shadow = stage.step == "shadow" and stage.state is not StageState.WAITING
    return state_cell(stage.state, ", as shadow" if is_shadow else "")


def _stage_since(stage: StageSummary, now: float) -> str:
    if stage.state is StageState.WAITING or not stage.since:
        return words.NOTHING
    return words.duration(max(0.0, now - stage.since))


def _stage_end(stage: StageSummary, now: float) -> str:
    return words.until(None if stage.deadline is None else stage.deadline - now)


def _bar_room(cells: Mapping[Column, Sequence[str | Cell]], width: int) -> int:
    """Characters that are left for a bar beside these columns."""
    rows = [tuple(values) for values in zip(*cells.values(), strict=True)]
    return width - table_width((*cells, Column("")), [(*row, "") for row in rows])
