"""A device as a rollout sees it: it fetches, tries, commits, goes back by itself, lies, vanishes.

It follows the phases of the real agent and takes no revision below the highest that it has seen.
What it reports and what it really runs are two things here, so that a test can tell them apart.
"""

from enum import StrEnum

from msgspec.structs import replace

from cloud_sync.rollout.violation import Installed
from edge_agent.contract.state import DesiredState, Phase, ReportedSlot, SlotError, WantedSlot

GONE = "sha256:lost"
"""Runs on a device whose disk came from somewhere else."""


class Nature(StrEnum):
    """What becomes of versions that the device tries."""

    GOOD = "good"
    REJECTS = "rejects"
    """It finds a signature wrong."""
    ROLLS_BACK = "rolls back"
    """The trial fails."""
    FAILS_ONCE = "fails once"
    FAILS = "fails"
    """Again and again, as long as it is told to try."""
    STUCK = "stuck"
    """It does not come forward, and says so."""


class Report:
    """What one report says."""

    __slots__ = ("revision_seen", "slots")

    def __init__(self, revision_seen: int, slots: dict[str, ReportedSlot]) -> None:
        self.revision_seen = revision_seen
        self.slots = slots


class RolloutDevice:
    """One device.

    Attributes:
        nature: of what it makes of versions.
        is_up: whether it can be reached; it works on when not.
        slots: what it really does.
        told: the revision that it follows.
        outbox: reports that have not left, oldest first.
        installed: what began to answer, in its order.
        is_misread: what it said last is not so.
        has_lied: it once reported what was not so; where that ended its part of a rollout, nobody
            looks after it any more.
    """

    def __init__(self, name: str, site: str) -> None:
        self.name = name
        self.site = site
        self.nature = Nature.GOOD
        self.is_up = True
        self.has_lied = False
        self.is_misread = False
        self.locked_until: float | None = None
        self.told = -1
        self.slots: dict[str, ReportedSlot] = {}
        self.outbox: list[Report] = []
        self.installed: list[Installed] = []
        self._before: dict[str, str] = {}
        self._revisions: dict[str, int] = {}

    def hear(self, desired: DesiredState) -> None:
        """A desired state arrives; one that is not newer changes nothing."""
        if desired.revision <= self.told:
            return
        self.told = desired.revision
        self.slots = {
            name: self._wanting(name, self.slots.get(name), wanted)
            for name, wanted in desired.slots.items()
        }
        self.report()

    def _wanting(self, name: str, now: ReportedSlot | None, wanted: WantedSlot) -> ReportedSlot:
        now = now or ReportedSlot(module=wanted.module, phase=Phase.ABSENT)
        aimed = replace(now, wanted=wanted.digest, shadows=wanted.shadows)
        in_trial = now.phase is Phase.TRIAL
        running = self._before.get(name, "") if in_trial else now.running
        if wanted.digest == now.wanted and now.phase is not Phase.ABSENT:
            return aimed
        self._revisions[name] = self.told
        aimed = replace(aimed, running=running, attempts=0, error=None)
        phase = Phase.ACTIVE if running == wanted.digest else Phase.FETCHING
        return replace(aimed, phase=phase)

    def work(self, steps: int = 1) -> None:
        """Go on with every slot by some phases."""
        for _ in range(steps):
            after = {name: self._next(name, slot) for name, slot in self.slots.items()}
            if after == self.slots:
                return
            self.slots = after
            self.report()

    def _next(self, name: str, slot: ReportedSlot) -> ReportedSlot:
        nature = self.nature
        if nature is Nature.STUCK:
            return slot
        match slot.phase:
            case Phase.FETCHING if nature is Nature.FAILS or (
                nature is Nature.FAILS_ONCE and slot.attempts == 0
            ):
                error = SlotError(code="blob_unavailable", text="no", step="fetch")
                return replace(slot, phase=Phase.FAILED, attempts=slot.attempts + 1, error=error)
            case Phase.FETCHING:
                return replace(slot, phase=Phase.VERIFIED)
            case Phase.VERIFIED if nature is Nature.REJECTS:
                error = SlotError(code="opset_unsupported", text="no", step="install")
                return replace(slot, phase=Phase.REJECTED, error=error)
            case Phase.VERIFIED:
                return replace(slot, phase=Phase.INSTALLED)
            case Phase.INSTALLED:
                self._before[name] = slot.running
                self._install(name, slot.wanted)
                return replace(slot, phase=Phase.TRIAL, running=slot.wanted)
            case Phase.TRIAL if nature is Nature.ROLLS_BACK:
                error = SlotError(code="trial_failed", text="no", step="trial")
                before = self._before.get(name, "")
                return replace(slot, phase=Phase.ROLLED_BACK, running=before, error=error)
            case Phase.TRIAL:
                return replace(slot, phase=Phase.ACTIVE, error=None, attempts=0)
            case Phase.FAILED:
                return replace(slot, phase=Phase.FETCHING)
        return slot

    def _install(self, name: str, digest: str) -> None:
        self.installed.append(
            Installed(
                device=self.name, slot=name, revision=self._revisions.get(name, 0), digest=digest
            )
        )

    def lose(self, slot: str) -> None:
        """Somebody put another disk in: something else runs, by whatever was wanted last."""
        if (now := self.slots.get(slot)) is not None and now.running:
            self.slots = {**self.slots, slot: replace(now, running=GONE, phase=Phase.FETCHING)}
            self.report()

    def set_back(self, slot: str) -> None:
        """Its disk is from a backup: it runs, and wants, something else until it is told again."""
        if (now := self.slots.get(slot)) is not None and now.running:
            other = replace(now, running=GONE, wanted=GONE, phase=Phase.ACTIVE, error=None)
            self.slots = {**self.slots, slot: other}
            self.report()

    def mend(self, slot: str) -> None:
        """What was wanted runs after all."""
        if (now := self.slots.get(slot)) is not None and now.running == GONE != now.wanted:
            self.slots = {**self.slots, slot: replace(now, running=now.wanted, phase=Phase.ACTIVE)}
            self.report()

    def report(self) -> None:
        """Put a report into the outbox."""
        self.is_misread = False
        self.outbox.append(Report(self.told, self.slots))

    def lie(self, slot: str, phase: Phase, running: str, lag: int) -> None:
        """Report what is not so.

        Args:
            slot: that it lies about.
            phase: that it claims.
            running: digest that it claims; empty for nothing.
            lag: how many revisions it is behind, it says.
        """
        self.has_lied = self.is_misread = True
        now = self.slots.get(slot) or ReportedSlot(module="probe", phase=phase)
        false = {**self.slots, slot: replace(now, phase=phase, running=running)}
        self.outbox.append(Report(max(-1, self.told - lag), false))
