"""`shoal rollout pause`, `resume`, `approve`, `abort`: a person's word on a rollout."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import typer

from cloud_sync.cli.options import JsonFlag, Reason
from cloud_sync.cli.rollout_watch import Id
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.client.rollouts import Action
    from cloud_sync.rollout_resources import RolloutDetail

ORDERS: "Final[Mapping[Action, str]]" = {
    "pause": """Offer nothing more, at once. Devices that are on their way arrive.

    \b
    Example:
      shoal rollout pause r17 --reason "line 3 is being cleaned"
    """,
    "resume": """Go on. A stage that failed is judged again on new evidence; it does not just pass.

    \b
    Example:
      shoal rollout resume r17 --reason "the two devices were unplugged"
    """,
    "approve": """Say yes to a rollout that somebody else has asked for.

    Who you are is what --actor or SHOAL_ACTOR says, else your login name. Who asked for a
    rollout cannot approve it.

    \b
    Example:
      shoal --actor bo rollout approve r17 --reason "seen on the test line"
    """,
    "abort": """End it where it is: devices that run the version keep it, no others get it.

    It cannot be taken back any more: if the version is to go, `rollback` ends it, too.

    \b
    Example:
      shoal rollout abort r17 --reason "version 4 comes tomorrow"
    """,
}
"""What a person can say, and the help of the command that says it."""


def order(action: "Action") -> Callable[..., None]:
    """The command that gives an order."""

    def give(
        context: typer.Context, rollout: Id, reason: Reason = "", as_json: JsonFlag = False
    ) -> None:
        from cloud_sync.cli.output import print_json

        with open_client(context) as client:
            detail = client.rollouts.order(rollout, action, reason=reason)
        if as_json:
            print_json(detail)
            return
        print_state(detail)

    return give


def print_state(detail: "RolloutDetail") -> None:
    """Print where a rollout stands now, and what comes next."""
    from cloud_sync.cli.output import print_line
    from cloud_sync.cli.rollout_lines import outcome
    from cloud_sync.cli.rollout_view import ENDED

    rollout = detail.summary
    print_line(outcome(rollout))
    if rollout.needs:
        print_line(f"what to do: {rollout.needs}")
    elif rollout.state not in ENDED:
        print_line(f"watch it: shoal rollout watch {rollout.id}")
