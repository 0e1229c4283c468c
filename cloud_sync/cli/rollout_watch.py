"""`shoal rollout watch`: looks until a rollout has ended; a live view, or one line per change.

The service may go away meanwhile and come back: nothing is missed, because what happened is
asked for from the last event on that was seen.
"""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cloud_sync.cli.options import JsonFlag
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloud_sync.client import ShoalClient
    from cloud_sync.errors import Unavailable
    from cloud_sync.rollout_resources import RolloutDetail, RolloutEvent

SHOWN_EVENTS: Final = 20
EVERY_S: Final = 2.0

Id = Annotated[str, typer.Argument(metavar="ROLLOUT", help="Its id, r17.")]


def watch(
    context: typer.Context,
    rollout: Id,
    every: Annotated[
        float, typer.Option("--every", min=0.2, metavar="SECONDS", help="How often to look.")
    ] = EVERY_S,
    longest: Annotated[
        float, typer.Option("--for", min=0, metavar="SECONDS", help="No longer; 0: to its end.")
    ] = 0,
    until_stop: Annotated[
        bool, typer.Option("--until-stop", help="End as well when it waits for a person.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Watch a rollout until it has ended: stages, verdicts with their evidence, why it stopped.

    On a terminal it is a live view; elsewhere one line for each change, and with --json one line
    of JSON. Exits with 0 if the rollout completed, else with 1. Ctrl-C ends the watch and nothing
    else. A service that is away is waited for.

    \b
    Example:
      shoal rollout watch r17
      shoal rollout watch r17 --until-stop --for 3600
    """
    with open_client(context) as client:
        follow(client, rollout, every, longest_s=longest, until_stop=until_stop, as_json=as_json)


class Follower:
    """What is seen of a rollout, look by look.

    Attributes:
        detail: of the last look.
        before: of the look before it.
        new: events that came with the last look.
        shown: the last few events.
    """

    def __init__(self, client: "ShoalClient", rollout: str) -> None:
        self._client = client
        self._rollout = rollout
        self._last_id = 0
        self.before: RolloutDetail | None = None
        self.detail: RolloutDetail | None = None
        self.new: tuple[RolloutEvent, ...] = ()
        self.shown: tuple[RolloutEvent, ...] = ()

    def look(self) -> "RolloutDetail":
        """One look.

        Raises:
            NotFound: there is no such rollout.
            Unavailable: the service is away.
        """
        group = self._client.rollouts
        detail = group.show(self._rollout)
        new = tuple(group.events(self._rollout, after_id=self._last_id, overview=True))
        self.before, self.detail, self.new = self.detail, detail, new
        self.shown = (*self.shown, *new)[-SHOWN_EVENTS:]
        self._last_id = new[-1].id if new else self._last_id
        return detail


def follow(
    client: "ShoalClient",
    rollout: str,
    every_s: float,
    *,
    longest_s: float = 0,
    until_stop: bool = False,
    as_json: bool = False,
) -> None:
    """Look until it has ended.

    Args:
        client: of the service.
        rollout: its id.
        every_s: how often, seconds.
        longest_s: no longer than this, seconds; 0 for as long as it takes.
        until_stop: whether a rollout that waits for a person ends it, too.
        as_json: one line of JSON for each change.

    Raises:
        typer.Exit: with 1: it did not complete, or not yet.
    """
    from cloud_sync.cli.rollout_view import COMPLETED, ENDED, WAITS

    follower = Follower(client, rollout)
    over_at = time.monotonic() + longest_s if longest_s else None

    def is_last(detail: "RolloutDetail") -> bool:
        state = detail.summary.state
        return state in ENDED or (until_stop and state in WAITS)

    def is_over() -> bool:
        return over_at is not None and time.monotonic() >= over_at

    if sys.stdout.isatty() and not as_json:
        detail = _live(follower, every_s, is_last, is_over)
    else:
        detail = _lines(follower, every_s, is_last, is_over, as_json=as_json)
    if detail.summary.state not in COMPLETED:
        raise typer.Exit(1)


def _live(
    follower: Follower,
    every_s: float,
    is_last: "Callable[[RolloutDetail], bool]",
    is_over: "Callable[[], bool]",
) -> "RolloutDetail":
    """The live view; what was seen last stays on the screen, also after Ctrl-C."""
    from cloud_sync.cli.live import live_rows, watch_live
    from cloud_sync.cli.rollout_screen import rollout_view
    from cloud_sync.cli.rollout_view import print_rollout

    try:
        detail = watch_live(
            follower.look,
            every_s,
            lambda seen: rollout_view(seen, follower.shown, time.time(), live_rows()),
            lambda seen: f"Ctrl-C ends the watch, {seen.summary.id} goes on without it",
            is_last=is_last,
            is_over=is_over,
        )
    except KeyboardInterrupt:
        if follower.detail is not None:
            print_rollout(follower.detail, time.time())
        raise
    print_rollout(detail, time.time())
    return detail


def _lines(
    follower: Follower,
    every_s: float,
    is_last: "Callable[[RolloutDetail], bool]",
    is_over: "Callable[[], bool]",
    *,
    as_json: bool,
) -> "RolloutDetail":
    """One line for each change."""
    from cloud_sync.cli.failure import warn
    from cloud_sync.cli.output import print_json_line, print_line
    from cloud_sync.cli.rollout_lines import changes, outcome
    from cloud_sync.cli.watch import look_again

    def say(error: "Unavailable", wait_s: float) -> None:
        warn(f"lost the service, trying again in {wait_s:g} s: {error.text}", as_json=as_json)

    for detail in look_again(follower.look, every_s, on_lost=say, is_over=is_over):
        if as_json:
            if detail != follower.before:
                print_json_line(detail)
        else:
            for line in changes(follower.before, detail, follower.new, time.time()):
                print_line(line)
            sys.stdout.flush()
        if is_last(detail):
            break
    if not as_json:
        print_line(outcome(detail.summary))
    return detail
