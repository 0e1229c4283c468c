"""Rollouts: what a version would do to a fleet, sending it there in stages, following it."""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from cloud_sync.client.paging import pages
from cloud_sync.client.transport import Params, Transport, path_of
from cloud_sync.errors import InvalidInput
from cloud_sync.rollout_resources import (
    AssignmentState,
    AssignmentSummary,
    RolloutDetail,
    RolloutEvent,
    RolloutOrder,
    RolloutPlan,
    RolloutState,
    RolloutSummary,
    RolloutWish,
)

EVENTS_AT_ONCE: Final = 1_000
PREFIX: Final = "r"

Action = Literal["start", "approve", "pause", "resume", "abort", "rollback"]


class Rollouts:
    """The group `client.rollouts`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def plan(self, wish: RolloutWish) -> RolloutPlan:
        """What a rollout would do, without doing it.

        Raises:
            NotFound: no such module or version, or nobody is meant.
            InvalidInput: the target or the policy is malformed.
        """
        return self._transport.ask("POST", path_of("rollouts", "plan"), RolloutPlan, body=wish)

    def create(self, wish: RolloutWish, *, start: bool = True) -> RolloutDetail:
        """Make a rollout.

        Args:
            wish: what is to go where, and how.
            start: at once, if no approval is needed; else it stays a draft.

        Raises:
            NotFound: no such module or version, or nobody is meant.
            Conflict: a device cannot run it beside what it runs, among others.
        """
        params: Params = {"start": start}
        return self._transport.ask(
            "POST", path_of("rollouts"), RolloutDetail, params=params, body=wish
        )

    def search(
        self,
        *,
        module: str = "",
        states: Sequence[RolloutState] = (),
        limit: int | None = None,
    ) -> Iterator[RolloutSummary]:
        """Rollouts, the newest first, page by page.

        Args:
            module: a glob, `shuttle-*`; empty for all.
            states: only in one of these; empty for all.
            limit: stop after so many; None for all.
        """

        def fetch(count: int, offset: int) -> list[RolloutSummary]:
            params: Params = {
                "module": module or None,
                "state": [state.value for state in states] or None,
                "limit": count,
                "offset": offset,
            }
            return self._transport.ask(
                "GET", path_of("rollouts"), list[RolloutSummary], params=params
            )

        return pages(fetch, lambda rollout: rollout.id, limit)

    def show(self, rollout: str) -> RolloutDetail:
        """How far a rollout is, and how it goes forward.

        Raises:
            NotFound: there is no such rollout.
        """
        return self._transport.ask("GET", path_of("rollouts", rollout_id(rollout)), RolloutDetail)

    def assignments(
        self,
        rollout: str,
        *,
        stage: int | None = None,
        states: Sequence[AssignmentState] = (),
        device: str = "",
        limit: int | None = None,
    ) -> Iterator[AssignmentSummary]:
        """Where the devices of a rollout stand, by name, page by page.

        Args:
            rollout: its id.
            stage: only of this one, counted from 0.
            states: only in one of these; empty for all.
            device: only this one.
            limit: stop after so many; None for all.

        Raises:
            NotFound: there is no such rollout.
        """
        path = path_of("rollouts", rollout_id(rollout), "assignments")

        def fetch(count: int, offset: int) -> list[AssignmentSummary]:
            params: Params = {
                "stage": stage,
                "state": [state.value for state in states] or None,
                "device": device or None,
                "limit": count,
                "offset": offset,
            }
            return self._transport.ask("GET", path, list[AssignmentSummary], params=params)

        return pages(fetch, lambda assignment: assignment.device, limit)

    def events(
        self,
        rollout: str,
        *,
        after_id: int = 0,
        device: str = "",
        overview: bool = False,
        limit: int | None = None,
    ) -> Iterator[RolloutEvent]:
        """What happened in a rollout, the oldest first, page by page.

        Args:
            rollout: its id.
            after_id: only what came later than this event.
            device: only of this device.
            overview: only of the rollout and its stages, nothing of single devices.
            limit: stop after so many; None for all.

        Raises:
            NotFound: there is no such rollout.
        """
        path = path_of("rollouts", rollout_id(rollout), "events")
        left = limit
        while left is None or left > 0:
            count = EVENTS_AT_ONCE if left is None else min(left, EVENTS_AT_ONCE)
            params: Params = {
                "after_id": after_id,
                "device": device or None,
                "overview": overview or None,
                "limit": count,
            }
            found = self._transport.ask("GET", path, list[RolloutEvent], params=params)
            yield from found
            if len(found) < count:
                return
            after_id = found[-1].id
            left = None if left is None else left - len(found)

    def order(self, rollout: str, action: Action, *, reason: str = "") -> RolloutDetail:
        """Have a rollout go on, stop, or go back.

        Args:
            rollout: its id.
            action: "start" a draft; "approve" what somebody else asked for; "pause" stops new
                offers at once; "resume" judges a stage that failed again and goes on; "abort"
                ends it where it is; "rollback" takes it back from every device that it changed.
            reason: for its history and the audit log.

        Raises:
            NotFound: there is no such rollout.
            Conflict: in its state that cannot be, or who approves it has asked for it.
        """
        path = path_of("rollouts", rollout_id(rollout), "orders")
        wish = RolloutOrder(action=action, reason=reason)
        return self._transport.ask("POST", path, RolloutDetail, body=wish)


def rollout_id(text: str) -> str:
    """A rollout's id as the service writes it: `r17`, also for `17` and `R17`.

    Raises:
        InvalidInput: it is none.
    """
    number = text.strip().lower().removeprefix(PREFIX)
    if not (number.isascii() and number.isdecimal() and len(number) <= 18):
        raise InvalidInput(
            f"a rollout's id expected {PREFIX} and a number, found {text!r}",
            hint="`shoal rollout list` shows the rollouts and their ids",
            code="rollout_id_invalid",
        )
    return f"{PREFIX}{int(number)}"
