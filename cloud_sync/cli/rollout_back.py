"""`shoal rollout rollback`: take a version back, or say first what that would change.

The preview is read from where the devices stand; what it says may be different a moment later.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cloud_sync.cli import words
from cloud_sync.cli.options import JsonFlag, Reason
from cloud_sync.cli.rollout_orders import print_state
from cloud_sync.cli.rollout_watch import Id
from cloud_sync.cli.session import open_client

if TYPE_CHECKING:
    from cloud_sync.rollout_resources import AssignmentSummary, RolloutSummary

SHOWN: Final = 10
"""Kinds of devices that have a line; few rollouts replace more versions than that."""


def rollback(
    context: typer.Context,
    rollout: Id,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which devices go back to what; change nothing.")
    ] = False,
    reason: Reason = "",
    as_json: JsonFlag = False,
) -> None:
    """Take it back: devices that it changed run what they ran before, with its config.

    Also of one that has completed; one that was aborted has given up its devices. Where nothing
    ran before, the slot is removed.

    \b
    Example:
      shoal rollout rollback r17 --dry-run
      shoal rollout rollback r17 --reason "false alarms in hall 2"
    """
    from cloud_sync.cli.output import print_json, print_line

    if not dry_run:
        with open_client(context) as client:
            detail = client.rollouts.order(rollout, "rollback", reason=reason)
        if as_json:
            print_json(detail)
        else:
            print_state(detail)
        return
    with open_client(context) as client:
        summary = client.rollouts.show(rollout).summary
        _check(summary)
        found = concerned(client.rollouts.assignments(rollout))
    if as_json:
        print_json(found)
        return
    for line in preview(summary, found):
        print_line(line)


def concerned(assignments: "Iterable[AssignmentSummary]") -> "list[AssignmentSummary]":
    """The devices that were asked to take the version, and would be asked to go back."""
    from cloud_sync.rollout_resources import AssignmentState as State

    held = {
        *(State.QUEUED, State.OFFERED, State.DOWNLOADING, State.VERIFIED, State.TRIAL),
        *(State.SHADOW, State.COMMITTED),
    }
    return [one for one in assignments if one.revision and one.state in held]


def preview(rollout: "RolloutSummary", found: "Sequence[AssignmentSummary]") -> list[str]:
    """What taking it back would change, as lines of text.

    Args:
        rollout: that would be taken back.
        found: the devices that it concerns.
    """
    if not found:
        return [f"no device of {rollout.id} would be asked to go back; nothing was changed"]
    kinds = Counter(_outcome(one, rollout.slot) for one in found).most_common()
    lines = [f"{words.plural(len(found), 'device')} of {rollout.id} would go back:"]
    lines += [f"  {words.count(number)} {what}" for what, number in kinds[:SHOWN]]
    if rest := sum(number for _, number in kinds[SHOWN:]):
        lines.append(f"  {words.count(rest)} to others")
    return [*lines, f"nothing was changed; to begin: shoal rollout rollback {rollout.id}"]


def _outcome(one: "AssignmentSummary", slot: str) -> str:
    if one.state == "shadow":
        return "to no shadow: what answers there stays"
    if not one.previous_version:
        return f"to nothing: slot {slot} is removed there"
    return f"to version {one.previous_version}"


def _check(rollout: "RolloutSummary") -> None:
    """Check that it can be taken back, as the service would.

    Raises:
        Conflict: it cannot.
    """
    from cloud_sync.errors import Conflict
    from cloud_sync.rollout_resources import CAN_GO_BACK

    if rollout.state not in CAN_GO_BACK:
        raise Conflict(
            f"rollout {rollout.id} is {words.spaced(rollout.state)}, and cannot be taken back",
            hint=f"`shoal rollout status {rollout.id}` says what became of it",
            code="bad_transition",
        )
