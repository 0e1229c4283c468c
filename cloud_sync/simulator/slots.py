"""A slot of a simulated device: how it goes from what it runs to what it should run. Pure.

The phases and their order are the contract's. No byte is fetched and no model is run: how long a
step takes and how it ends is the version's fate on this device.
"""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cloud_sync.simulator.behaviour import Fate
from edge_agent.contract.state import Phase, ReportedSlot, SlotError, WantedSlot

FROM_DISK_S: Final = 0.05
"""A version whose files are there is verified again, and nothing is fetched."""
RETRY_FIRST_S: Final = 2.0
RETRY_LONGEST_S: Final = 300.0

_ERRORS: Final = {
    Phase.REJECTED: SlotError(
        code="simulated_rejection", text="the simulation has this device refuse it", step="prove"
    ),
    Phase.FAILED: SlotError(
        code="simulated_failure", text="the simulation has this attempt fail", step="fetch"
    ),
    Phase.ROLLED_BACK: SlotError(
        code="simulated_trial", text="the simulation has this device take it back", step="trial"
    ),
}


class SimulatedSlot(Struct, frozen=True, kw_only=True):
    """One slot.

    Attributes:
        wanted: what should run.
        active: what passed its trial here.
        serving: what answers now; on trial it is not the active one.
        previous: what was active before.
        serving_since: when its worker began, seconds since 1970.
        due: when the next step ends, seconds since 1970; None if nothing is under way.
        has_relapsed: it ran the wanted version and does not any more.
    """

    wanted: WantedSlot
    phase: Phase = Phase.ABSENT
    active: WantedSlot | None = None
    serving: WantedSlot | None = None
    previous: WantedSlot | None = None
    serving_since: float = 0.0
    since: float = 0.0
    due: float | None = None
    error: SlotError | None = None
    attempts: int = 0
    next_retry: float | None = None
    has_relapsed: bool = False

    def reported(self) -> ReportedSlot:
        """As the device tells it."""
        serving = self.serving
        return ReportedSlot(
            module=self.wanted.module,
            phase=self.phase,
            running=serving.digest if serving else "",
            running_version=serving.version if serving else 0,
            shadows=serving.shadows if serving else "",
            wanted=self.wanted.digest,
            wanted_version=self.wanted.version,
            error=self.error,
            attempts=self.attempts,
            next_retry=self.next_retry,
            since=self.since,
        )


def want(
    slot: SimulatedSlot | None, wanted: WantedSlot, now: float, *, wait_s: float = 0.0
) -> SimulatedSlot:
    """The slot should run something, new or not.

    Args:
        slot: until now; None if there is none.
        wanted: from now on.
        now: seconds since 1970.
        wait_s: how long the device puts its first request off.
    """
    if slot is None:
        slot = SimulatedSlot(wanted=wanted, since=now)
    elif slot.wanted.digest == wanted.digest:
        return _told_again(slot, wanted)
    if slot.active is not None and slot.active.digest == wanted.digest:
        slot = _serve(replace(slot, wanted=wanted, active=wanted), wanted, now)
        return _enter(slot, Phase.ACTIVE, now)
    slot = _serve(replace(slot, wanted=wanted, has_relapsed=False), slot.active, now)
    due = now + wait_s
    slot = _enter(slot, Phase.FETCHING, now, due=due)
    return replace(slot, next_retry=due if wait_s > 0 else None)


def advance(
    slot: SimulatedSlot, fate: Fate, now: float, *, has_files: bool, retry_chance: float
) -> SimulatedSlot:
    """Take the step that is due.

    Args:
        slot: until now.
        fate: of the wanted version on this device.
        now: seconds since 1970.
        has_files: the version's files are on the device.
        retry_chance: for the wait before another attempt, 0 to 1.
    """
    if slot.due is None or now < slot.due:
        return slot
    match slot.phase:
        case Phase.FETCHING if slot.next_retry is not None or slot.due <= slot.since:
            # Its turn has come: now it asks.
            wait_s = FROM_DISK_S if has_files else max(fate.fetch_s, 1e-3)
            return replace(slot, next_retry=None, due=now + wait_s)
        case Phase.FETCHING:
            return _arrived(slot, fate, now, retry_chance)
        case Phase.INSTALLED:
            return _proved(slot, fate, now)
        case Phase.TRIAL:
            return _tried(slot, fate, now)
        case Phase.FAILED:
            return replace(_enter(slot, Phase.FETCHING, now, due=now), attempts=slot.attempts)
        case Phase.ACTIVE if slot.previous is not None:
            slot = replace(slot, active=slot.previous, has_relapsed=True)
            return _enter(_serve(slot, slot.active, now), Phase.ROLLED_BACK, now)
        case _:
            return replace(slot, due=None)


def retry(slot: SimulatedSlot, now: float) -> SimulatedSlot:
    """Somebody asks for another attempt at once."""
    if slot.phase not in (Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK):
        return slot
    return replace(_enter(slot, Phase.FETCHING, now, due=now), attempts=0)


def restarted(slot: SimulatedSlot, now: float) -> SimulatedSlot:
    """The machine started anew: every worker is a new one, and a trial that was cut goes on."""
    return replace(slot, serving_since=now)


def _arrived(slot: SimulatedSlot, fate: Fate, now: float, retry_chance: float) -> SimulatedSlot:
    if slot.attempts < fate.failures:
        attempts = slot.attempts + 1
        bound = min(RETRY_LONGEST_S, RETRY_FIRST_S * 2.0 ** (attempts - 1))
        due = now + retry_chance * bound
        slot = _enter(slot, Phase.FAILED, now, due=due)
        return replace(slot, attempts=attempts, next_retry=due)
    attempts = slot.attempts
    return replace(
        _enter(slot, Phase.INSTALLED, now, due=now + fate.prove_s),
        attempts=attempts,
    )


def _proved(slot: SimulatedSlot, fate: Fate, now: float) -> SimulatedSlot:
    if fate.ending == "rejected":
        return replace(_enter(slot, Phase.REJECTED, now), attempts=slot.attempts + 1)
    if fate.ending == "hangs":
        return replace(slot, due=None)
    slot = _serve(slot, slot.wanted, now)
    return replace(_enter(slot, Phase.TRIAL, now, due=now + fate.trial_s), attempts=slot.attempts)


def _tried(slot: SimulatedSlot, fate: Fate, now: float) -> SimulatedSlot:
    if fate.ending == "rolled_back":
        attempts = slot.attempts + 1
        slot = _enter(_serve(slot, slot.active, now), Phase.ROLLED_BACK, now)
        return replace(slot, attempts=attempts)
    slot = replace(slot, previous=slot.active, active=slot.wanted)
    due = None
    if fate.relapse_s is not None and not slot.has_relapsed and slot.previous is not None:
        due = now + fate.relapse_s
    return _enter(slot, Phase.ACTIVE, now, due=due)


def _told_again(slot: SimulatedSlot, wanted: WantedSlot) -> SimulatedSlot:
    """The same version with another config, or for another rollout: nothing starts anew."""
    same = {
        name: wanted
        for name in ("active", "serving")
        if (found := getattr(slot, name)) is not None and found.digest == wanted.digest
    }
    return replace(slot, wanted=wanted, **same)


def _serve(slot: SimulatedSlot, version: WantedSlot | None, now: float) -> SimulatedSlot:
    before = slot.serving.digest if slot.serving else ""
    is_same = version is not None and version.digest == before
    since = slot.serving_since if is_same else now
    return replace(slot, serving=version, serving_since=since)


def _enter(
    slot: SimulatedSlot, phase: Phase, now: float, *, due: float | None = None
) -> SimulatedSlot:
    since = now if phase is not slot.phase else slot.since
    if phase is Phase.FETCHING:
        since = now
    return replace(
        slot,
        phase=phase,
        since=since,
        due=due,
        error=_ERRORS.get(phase),
        attempts=0,
        next_retry=None,
    )
