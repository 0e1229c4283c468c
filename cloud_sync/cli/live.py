"""A screen that is drawn anew with every look at the service, until Ctrl-C or its own end.

Draws nothing itself: whoever watches says how what was seen looks.
"""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from cloud_sync.cli import words
from cloud_sync.cli.output import clean, console
from cloud_sync.cli.watch import count_down, look_again
from cloud_sync.errors import Unavailable

T = TypeVar("T")


NOTE_LINES: Final = 3
"""An empty line, and a note that may take two."""


def live_rows() -> int:
    """Lines of the screen that are left for what was seen."""
    return console().height - NOTE_LINES


def watch_live(
    look: Callable[[], T],
    every_s: float,
    draw: Callable[[T], RenderableType],
    note: Callable[[T], str],
    *,
    is_last: Callable[[T], bool] = lambda _: False,
    is_over: Callable[[], bool] = lambda: False,
) -> T:
    """Show what is seen, and how old it is while the service is away.

    Args:
        look: one look.
        every_s: how often, seconds.
        draw: what was seen, for the screen.
        note: the line below it.
        is_last: whether there is nothing more to be seen.
        is_over: whether to look no longer, whatever is seen.

    Returns:
        What was seen last.

    Raises:
        ShoalError: the first look failed, or a later one for a reason that waiting cannot end.
    """
    lost: Unavailable | None = None

    def show(text: Text) -> None:
        live.update(Group(draw(seen), Text(), text), refresh=True)

    def say(error: Unavailable, _wait_s: float) -> None:
        nonlocal lost
        lost = error

    def wait(seconds: float) -> None:
        if lost is None:
            time.sleep(seconds)
            return
        reason = lost.text

        def tell(left_s: float) -> None:
            # Old figures must not look current: say how old they are, and keep counting.
            figures = f"figures of {words.clock(looked)}, {words.since(looked, time.time())}"
            text = f"{figures}: lost the service, trying again in {left_s:.0f} s: {reason}"
            show(Text(clean(text), style="red"))

        count_down(seconds, tell)

    looks = look_again(look, every_s, on_lost=say, is_over=is_over, sleep=wait)
    # Before the screen changes: a first look that fails leaves no trace on it.
    seen, looked = next(looks), time.time()
    if is_last(seen):
        return seen
    with Live(console=console(), auto_refresh=False, screen=True) as live:
        show(Text(clean(note(seen)), style="dim"))
        for seen in looks:
            looked, lost = time.time(), None
            if is_last(seen):
                break
            show(Text(clean(note(seen)), style="dim"))
    return seen
