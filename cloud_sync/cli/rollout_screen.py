"""A rollout on a screen that does not scroll: what matters most first, as much as fits.

Drawn from values: it asks for nothing and waits for nothing.
"""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cloud_sync.cli import words
from cloud_sync.cli.output import (
    PADDING,
    Cell,
    Column,
    Strip,
    clean,
    console,
    facts_table,
    table,
    table_width,
    terminal_columns,
)
from cloud_sync.cli.rollout_view import (
    event_line,
    evidence_sheet,
    facts,
    focus,
    outcome_style,
    stage_sheet,
    verdict_text,
)
from cloud_sync.cli.status import Sheet
from cloud_sync.rollout_resources import RolloutDetail, RolloutEvent, Verdict

_AROUND_ROWS: Final = 2
"""Lines of a table besides its rows: an empty one before it, and its head."""


def rollout_view(
    detail: RolloutDetail, events: Sequence[RolloutEvent], now: float, height: int | None = None
) -> Group:
    """A rollout for a live display, with what happened last.

    Evidence and events take a line each, and as many are shown as there is room for: a screen
    does not scroll. `status` and `history` have all of it.

    Args:
        detail: how far it is.
        events: of the rollout and its stages, the newest last.
        now: seconds since 1970.
        height: lines that there are; None for as many as it takes.
    """
    rollout, width = detail.summary, terminal_columns()
    parts: list[RenderableType] = [facts_table(facts(rollout, now, detail.waits))]
    if rollout.stages:
        stages = stage_sheet(rollout.stages, now, width)
        parts += [Text(), table(stages.columns, stages.rows)]
    stage = focus(rollout.stages)
    evidence = Sheet((), ())
    if stage is not None and stage.verdict is not None:
        if stage.verdict.text not in rollout.state_reason:
            parts += [Text(), _verdict_line(stage.number, stage.verdict)]
        evidence = evidence_sheet(stage)
    happened = Sheet(
        (Column("when"), Column("what happened")),
        [(words.since(event.time, now), event_line(event)) for event in reversed(events)],
    )
    left = None if height is None else height - _lines_of(Group(*parts))
    for sheet in (evidence, happened):
        room = len(sheet.rows) if left is None else min(len(sheet.rows), left - _AROUND_ROWS)
        if room > 0:
            parts += [Text(), _one_line_each(sheet, room, width)]
            left = None if left is None else left - room - _AROUND_ROWS
    return Group(*parts)


def _one_line_each(sheet: Sheet, count: int, width: int | None) -> Table:
    """The first rows of a table whose last column is cut where a line would be too long."""
    columns = [Column(column.title, column.justify) for column in sheet.columns]
    rows = sheet.rows[:count]
    if width is not None:
        room = width - table_width(columns[:-1], [row[:-1] for row in rows]) - PADDING
        rows = [(*row[:-1], _cut(row[-1], room)) for row in rows]
    return table(columns, rows)


def _cut(cell: str | Cell | Strip, room: int) -> str:
    text = cell if isinstance(cell, str) else cell.text
    return text if cell_len(text) <= room else f"{set_cell_size(text, max(room, 1) - 1)}…"


def _verdict_line(stage: int, verdict: Verdict) -> Text:
    found = (verdict.outcome, outcome_style(verdict.outcome))
    return Text.assemble(f"stage {stage + 1}: ", found, f": {clean(verdict_text(verdict))}")


def _lines_of(drawn: RenderableType) -> int:
    return len(console().render_lines(drawn, pad=False))
