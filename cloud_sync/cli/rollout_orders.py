"""`shoal rollout pause`, `resume`, `approve`, `abort`, `rollback`: a person's word on a rollout."""

from typing import TYPE_CHECKING

import typer

from cloud_sync.cli.options import JsonFlag, Reason
from cloud_sync.cli.rollout_watch import Id
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.client.rollouts import Action
    from cloud_sync.rollout_resources import RolloutDetail


def pause(
    context: typer.Context, rollout: Id, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Offer nothing more, at once. Devices that are on their way arrive.

    \b
    Example:
      shoal rollout pause r17 --reason "line 3 is being cleaned"
    """
    _order(context, rollout, "pause", reason, as_json=as_json)


def resume(
    context: typer.Context, rollout: Id, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Go on. A stage that failed is judged again on new evidence; it does not just pass.

    \b
    Example:
      shoal rollout resume r17 --reason "the two devices were unplugged"
    """
    _order(context, rollout, "resume", reason, as_json=as_json)


def approve(
    context: typer.Context, rollout: Id, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Say yes to a rollout that somebody else has asked for.

    Who you are is what --actor or SHOAL_ACTOR says, else your login name. Who asked for a
    rollout cannot approve it.

    \b
    Example:
      shoal --actor bo rollout approve r17 --reason "seen on the test line"
    """
    _order(context, rollout, "approve", reason, as_json=as_json)


def abort(
    context: typer.Context, rollout: Id, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """End it where it is: devices that run the version keep it, no others get it.

    \b
    Example:
      shoal rollout abort r17 --reason "version 4 comes tomorrow"
    """
    _order(context, rollout, "abort", reason, as_json=as_json)


def rollback(
    context: typer.Context, rollout: Id, reason: Reason = "", as_json: JsonFlag = False
) -> None:
    """Take it back: every device that it changed runs what it ran before, with its config.

    \b
    Example:
      shoal rollout rollback r17 --reason "false alarms in hall 2"
    """
    _order(context, rollout, "rollback", reason, as_json=as_json)


def _order(
    context: typer.Context, rollout: str, action: "Action", reason: str, *, as_json: bool
) -> None:
    from cloud_sync.cli.output import print_json

    with open_client(context) as client:
        detail = client.rollouts.order(rollout, action, reason=reason)
    if as_json:
        print_json(detail)
        return
    print_state(detail)


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
