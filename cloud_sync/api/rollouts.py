"""`/v1/rollouts`: versions on their way to fleets."""

from typing import Annotated

from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from cloud_sync.api.models import Limit, Offset
from cloud_sync.api.parts import GivenChange, GivenParts, Now
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

States = Annotated[
    list[RolloutState] | None, QueryParameter(name="state", description="may be given repeatedly")
]
AssignmentStates = Annotated[
    list[AssignmentState] | None,
    QueryParameter(name="state", description="may be given repeatedly"),
]


class RolloutController(Controller):
    """Rollouts: a version goes to a fleet in stages and is judged by what it did there."""

    path = "/v1/rollouts"
    tags = ("rollouts",)

    @post("/plan", status_code=200, sync_to_thread=True)
    def plan(
        self, parts: GivenParts, change: GivenChange, data: JSONBody[RolloutWish]
    ) -> RolloutPlan:
        """Say what a rollout would do, without doing it."""
        return parts.rollouts.plan(data, change)

    @post("/", sync_to_thread=True)
    def create(
        self,
        parts: GivenParts,
        change: GivenChange,
        data: JSONBody[RolloutWish],
        start: FromQuery[bool] = False,
    ) -> RolloutDetail:
        """Make a rollout: a draft, or one that starts at once or as soon as it is approved."""
        return parts.rollouts.create(data, change, start=start)

    @get("/", sync_to_thread=True)
    def search(
        self,
        parts: GivenParts,
        states: States = None,
        module: FromQuery[str] = "*",
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[RolloutSummary]:
        """Find rollouts by state and module (with `*` and `?`), the newest first."""
        return parts.rollouts.query.search(
            states=states or (), module=module, limit=limit, offset=offset
        )

    @get("/{rollout:str}", sync_to_thread=True)
    def show(self, parts: GivenParts, now: Now, rollout: FromPath[str]) -> RolloutDetail:
        """One rollout: its stages, its verdicts, its policy, and what its devices wait for."""
        return parts.rollouts.query.get(rollout, now=now)

    @get("/{rollout:str}/assignments", sync_to_thread=True)
    def assignments(
        self,
        parts: GivenParts,
        now: Now,
        rollout: FromPath[str],
        stage: FromQuery[int | None] = None,
        states: AssignmentStates = None,
        device: FromQuery[str] = "",
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> list[AssignmentSummary]:
        """Where its devices stand, and what each waits for, by name."""
        return parts.rollouts.query.assignments(
            rollout,
            stage=stage,
            states=states or (),
            device=device,
            limit=limit,
            offset=offset,
            now=now,
        )

    @get("/{rollout:str}/events", sync_to_thread=True)
    def events(
        self,
        parts: GivenParts,
        rollout: FromPath[str],
        after_id: FromQuery[int] = 0,
        device: FromQuery[str | None] = None,
        overview: FromQuery[bool] = False,
        limit: Limit = 1000,
    ) -> list[RolloutEvent]:
        """Every transition, the oldest first; with `overview` none of single devices."""
        return parts.rollouts.query.events(
            rollout, after_id=after_id, device="" if overview else device, limit=limit
        )

    @post("/{rollout:str}/orders", status_code=200, sync_to_thread=True)
    def order(
        self,
        parts: GivenParts,
        change: GivenChange,
        rollout: FromPath[str],
        data: JSONBody[RolloutOrder],
    ) -> RolloutDetail:
        """Start, approve, pause, resume, abort it, or take it back."""
        return parts.rollouts.order(rollout, data, change)
