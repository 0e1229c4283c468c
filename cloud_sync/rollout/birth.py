"""How a rollout comes to be: the draft, and the cohort that it starts with.

In its caller's transaction: a rollout that cannot start is not left behind as a draft.
"""

import random
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from sqlalchemy import Connection

from cloud_sync.db.audit import Change
from cloud_sync.errors import Conflict, InvalidInput
from cloud_sync.registry.modules import choose
from cloud_sync.rollout import journal
from cloud_sync.rollout.choice import check_pattern
from cloud_sync.rollout.cohort import compose
from cloud_sync.rollout.enlistment import Enlisted, refuse_bad_shadows, slot_of
from cloud_sync.rollout.gates import check_gates
from cloud_sync.rollout.omission import behind_the_last_stage
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.shadow_place import refuse_in_the_way
from cloud_sync.rollout.shares import check_shares
from cloud_sync.rollout.store import add, save
from cloud_sync.rollout.windows import opens_at
from cloud_sync.rollout_resources import Obstacle, RolloutEvent, RolloutState, RolloutWish

SEEDS = 2**31


def draft(connection: Connection, wish: RolloutWish, change: Change) -> Rollout:
    """A rollout as it is asked for; not stored.

    Raises:
        NotFound: no such module or version.
        Conflict: the version is retired.
        InvalidInput: the wish contradicts itself.
    """
    opens_at(wish.policy.windows, change.time, ZoneInfo)
    check_shares(wish.policy)
    if wish.policy.gates is not None:
        check_gates(wish.policy.gates)
    if wish.per_device:
        check_pattern(wish.module)
        if wish.slot is None and not wish.shadows:
            raise InvalidInput(
                "a version for each device expected the name of the slot, found none",
                hint="name the slot that all of them go to",
                code="slot_missing",
            )
        module, version = wish.module, 0
    else:
        chosen = choose(connection, wish.module, wish.version)
        module, version = chosen.name, chosen.version
        # What is newest may be another one when it starts.
        wish = replace(wish, version=version)
    # What chance decides is not a secret; what counts is that it can be repeated.
    seed = random.randrange(SEEDS) if wish.seed is None else wish.seed  # noqa: S311
    return Rollout(
        id=0,
        wish=wish,
        slot=slot_of(wish, module),
        module=module,
        version=version,
        seed=seed,
        created=change.time,
        created_by=change.actor,
        state_since=change.time,
        state_reason=wish.reason,
    )


def store_draft(connection: Connection, rollout: Rollout, change: Change) -> Rollout:
    """Store a draft; it is given its number."""
    added = add(connection, rollout)
    entry = RolloutEvent(
        id=0,
        time=journal.stamp(connection, change.time),
        stage=None,
        device="",
        before="",
        after=RolloutState.DRAFT.value,
        actor=change.actor,
        reason=rollout.wish.reason or change.reason,
        evidence={"seed": str(rollout.seed)},
    )
    journal.write(connection, added.id, [entry])
    return added


def gather(connection: Connection, rollout: Rollout, enlisted: Enlisted, change: Change) -> Rollout:
    """Give a stored draft its cohort and its stages.

    Raises:
        Conflict: nobody would get anything, or a shadow could not be compared with what runs.
    """
    refuse_nothing(enlisted)
    policy = rollout.wish.policy
    cohort = compose(enlisted.candidates, policy, rollout.seed, change.time)
    refuse_in_the_way(connection, rollout, cohort.assignments)
    refuse_bad_shadows(connection, rollout, cohort.assignments)
    omitted = list(enlisted.omitted)
    if policy.late_joiners == "include":
        # Else nobody has to tell them from devices that come later.
        omitted += map(behind_the_last_stage, cohort.rest)
    after = replace(
        rollout,
        stages=cohort.stages,
        assignments=cohort.assignments,
        left_out={one.device: replace(one, since=change.time) for one in omitted},
    )
    save(connection, rollout, after)
    time = journal.stamp(connection, change.time)
    members = [*after.assignments.values(), *after.left_out.values()]
    journal.write(
        connection,
        rollout.id,
        [journal.first_entry(one, actor=change.actor, time=time) for one in members],
    )
    return after


def refuse_nothing(enlisted: Enlisted) -> None:
    """Refuse a rollout that nobody would get anything from.

    Raises:
        Conflict: with the first obstacle's own code, or `nothing_to_do`.
    """
    if enlisted.candidates:
        return
    if enlisted.unfit:
        first: Obstacle = enlisted.unfit[0]
        raise Conflict(
            f"no device can take it: {first.text}",
            hint=f"{len({one.device for one in enlisted.unfit})} devices cannot; "
            "`shoal rollout plan` says why of each",
            code=first.code,
        )
    number = len(enlisted.already)
    who = f"all {number:,} devices that are meant want" if number > 1 else "the device wants"
    raise Conflict(
        f"{who} exactly this already",
        hint="nothing is left to do; `shoal device list` shows what they run",
        code="nothing_to_do",
    )
