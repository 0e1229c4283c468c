"""What commands print: aligned tables, facts, JSON. The only place that draws on standard output.

On a terminal long texts are folded to its width; in a pipe nothing is cut and no control code is
written, whatever a device or a person put into the text.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

PIPE_COLUMNS: Final = 100_000
PADDING: Final = 2
LEAST_WRAPPED: Final = 16
_CONTROLS: Final = dict.fromkeys((*range(32), *range(127, 160)), "�")


class Cell(Struct, frozen=True):
    """A text with a colour that carries its meaning; the text alone must carry it too."""

    text: str
    style: str = ""


class Strip(Struct, frozen=True):
    """Texts of several colours side by side in one place of a table: a bar."""

    parts: tuple[Cell, ...]

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(part.text for part in self.parts)


class Column(Struct, frozen=True):
    """A column of a table: its heading, and which side its values stand on.

    Attributes:
        wraps: whether long values may take several lines on a narrow terminal.
    """

    title: str
    justify: Literal["left", "right"] = "left"
    wraps: bool = False


Row = Sequence[str | Cell | Strip]


def right(title: str) -> Column:
    """A column of numbers."""
    return Column(title, "right")


def console(*, to_stderr: bool = False) -> "Console":
    """A console that adds nothing of its own: no highlighting, no markup, no emoji."""
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() else PIPE_COLUMNS
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def table(columns: Sequence[Column], rows: Iterable[Row]) -> "Table":
    """An aligned table without lines."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, padding=(0, PADDING, 0, 0), header_style="bold")
    for column in columns:
        drawn.add_column(
            column.title,
            justify=column.justify,
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
        )
    for row in rows:
        drawn.add_row(*(_text(cell) for cell in row))
    return drawn


def print_table(columns: Sequence[Column], rows: Sequence[Row], empty: str) -> None:
    """Print a table, or the sentence `empty` if it has no rows."""
    if not rows:
        print_line(empty)
        return
    _print(table(columns, rows), least=table_width(columns, rows))


def terminal_columns() -> int | None:
    """Characters in a line of the terminal; None in a pipe, where lines have no end."""
    target = console()
    return target.width if target.is_terminal else None


def facts_table(facts: Mapping[str, str | Cell | Strip]) -> "Table":
    """Names and values, one a line, aligned."""
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, padding=(0, PADDING, 0, 0), show_header=False)
    drawn.add_column(no_wrap=True, style="bold")
    drawn.add_column(overflow="fold")
    for name, value in facts.items():
        drawn.add_row(name, _text(value))
    return drawn


def print_facts(facts: Mapping[str, str | Cell | Strip]) -> None:
    """Print names and values, one a line, aligned."""
    # A digest that is broken into two lines cannot be copied.
    texts = (value if isinstance(value, str) else value.text for value in facts.values())
    words = [word for text in texts for word in text.split()]
    longest = max(map(len, words), default=0)
    _print(facts_table(facts), least=max(map(len, facts), default=0) + PADDING + longest)


def print_line(text: str) -> None:
    """Print one line as it is, without control characters."""
    sys.stdout.write(clean(text) + "\n")


def print_json(value: object) -> None:
    """Print a resource, or a list of them, indented."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_json_line(value: object) -> None:
    """Print a resource, or a list of them, on one line, and let readers have it at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_done(done: object, text: str, *, as_json: bool) -> None:
    """Print what a command has done: the resource that it answers with, or a sentence."""
    if as_json:
        print_json(done)
    else:
        print_line(text)


def clean(text: str) -> str:
    """Text without control characters: names and events come from devices and other people."""
    return text.translate(_CONTROLS)


def _text(cell: str | Cell | Strip) -> "RenderableType":
    from rich.text import Text

    if isinstance(cell, Strip):
        return Text.assemble(*((clean(part.text), part.style) for part in cell.parts))
    if isinstance(cell, Cell):
        return Text(clean(cell.text), style=cell.style)
    return Text(clean(cell))


def table_width(columns: Sequence[Column], rows: Sequence[Row]) -> int:
    """Characters that a table needs so that no value is cut; columns that wrap need a few."""
    from rich.cells import cell_len

    total = 0
    for index, column in enumerate(columns):
        cells = (row[index] for row in rows)
        texts = [cell if isinstance(cell, str) else cell.text for cell in cells]
        longest = max(map(cell_len, [column.title, *texts]))
        total += (min(longest, LEAST_WRAPPED) if column.wraps else longest) + PADDING
    return total - PADDING


def _print(drawn: "RenderableType", least: int = 0) -> None:
    """Print without the blanks that pad the last column.

    A terminal that is narrower than `least` breaks the lines itself: untidy, but nothing is lost.
    """
    target = console()
    if target.is_terminal:
        target.width = max(least, target.width)
        target.print(drawn)
        return
    with target.capture() as caught:
        target.print(drawn)
    lines = caught.get().splitlines()
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))
