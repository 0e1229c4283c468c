"""What must be true of any history of rollouts, checked from what was recorded. Pure.

The judge of the planner, for tests, benchmarks and the simulator: it counts again by itself and
must never ask the code that it judges. It knows the tables of transitions, the policy, and no more.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

from msgspec import Struct

from cloud_sync.rollout.ledger import FINISHED, Ledger
from cloud_sync.rollout.rollout import Rollout
from cloud_sync.rollout.states import ACTIVE
from cloud_sync.rollout.violation import Heard, Installed, Invariant, Violation
from cloud_sync.rollout_resources import (
    AssignmentState,
    RolloutEvent,
    RolloutState,
    StageState,
)

_R: Final = RolloutState
_S: Final = StageState
_A: Final = AssignmentState
_STOPPED: Final = frozenset({_S.FAILED, _S.INCONCLUSIVE})
_ASKED: Final = ACTIVE - {_A.QUEUED}


class History(Struct, frozen=True, kw_only=True):
    """One rollout and everything that was recorded of it.

    Attributes:
        rollout: as it is now; its policy, and who is in which stage and at which site.
        events: in the order in which they were written.
    """

    rollout: Rollout
    events: Sequence[RolloutEvent]


def violations(
    histories: Iterable[History],
    *,
    heard: Iterable[Heard] = (),
    installed: Iterable[Installed] = (),
    until: float | None = None,
    grace_s: float = 0.0,
) -> tuple[Violation, ...]:
    """Everything that is wrong with what was recorded.

    Args:
        histories: of all rollouts on the same devices: they must not fight either.
        heard: reports, by time; empty if they were not recorded. Then nothing is said about what
            rests on them.
        installed: by each device in its own order.
        until: when the recording ended, seconds since 1970; None if rollouts were still under way:
            what is only due in the end is not looked at then.
        grace_s: how long before the end a report must have come to have been acted upon.
    """
    histories = tuple(histories)
    reports = sorted(heard, key=attrgetter("time"))
    judge = Judge(has_reports=bool(reports))
    for history in histories:
        judge.know(history.rollout)
    events = sorted(
        ((history.rollout.id, event) for history in histories for event in history.events),
        key=lambda entry: entry[1].id,
    )
    position = 0
    for time, commit in groupby(events, key=lambda entry: entry[1].time):
        while position < len(reports) and reports[position].time <= time:
            judge.hear(reports[position])
            position += 1
        judge.take(tuple(commit))
    for report in reports[position:]:
        judge.hear(report)
    for fact in installed:
        judge.install(fact)
    if until is not None:
        judge.finish(until, grace_s)
    return tuple(judge.found)


class Judge:
    """Follows histories, transaction by transaction.

    Args:
        has_reports: whether `hear` is told of every report; else nothing is expected of it.

    Attributes:
        found: what was wrong, in order.
    """

    def __init__(self, *, has_reports: bool = True) -> None:
        self.found: list[Violation] = []
        self._has_reports = has_reports
        self._rollouts: dict[int, Ledger] = {}
        self._heard: dict[tuple[str, str], tuple[Heard, float]] = {}
        self._asked: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._told: dict[str, tuple[int, float]] = {}
        self._owner: dict[tuple[str, str], int] = {}
        self._installed: dict[tuple[str, str], int] = {}
        self._revisions: dict[tuple[str, int], int] = {}

    def know(self, rollout: Rollout) -> None:
        """A rollout was made, or devices have joined it."""
        ledger = self._rollouts.setdefault(rollout.id, Ledger(rollout))
        ledger.know(rollout)

    def hear(self, report: Heard) -> None:
        """A report was taken in."""
        key = (report.device, report.slot)
        last = self._heard.get(key)
        is_same = last is not None and last[0].running == report.running
        self._heard[key] = (report, last[1] if last and is_same else report.time)

    def install(self, fact: Installed) -> None:
        """A device began to run what a revision told it."""
        key = (fact.device, fact.slot)
        highest = self._installed.get(key, 0)
        if fact.revision < highest:
            self._blame(
                Invariant.SUCCESSION,
                self._revisions.get((fact.device, fact.revision), 0),
                f"revision {fact.revision} was installed after revision {highest}",
                device=fact.device,
            )
        self._installed[key] = max(highest, fact.revision)

    def take(self, commit: Sequence[tuple[int, RolloutEvent]]) -> None:
        """What one transaction has written, with the rollouts that it belongs to."""
        for number, event in commit:
            self._follow(self._rollouts[number], event)
        last = commit[-1][1].id
        for number in {number for number, _event in commit}:
            ledger = self._rollouts[number]
            own = [event for rollout, event in commit if rollout == number]
            for invariant, text, device in ledger.problems(own):
                self._blame(invariant, number, text, device=device, event=last)
        for key in {
            (event.device, self._rollouts[number].slot) for number, event in commit if event.device
        }:
            self._check_alone(key, last)

    def finish(self, until: float, grace_s: float) -> None:
        """The recording ends: what was due must have been done."""
        for number, ledger in self._rollouts.items():
            for invariant, text, device in ledger.left_behind():
                self._blame(invariant, number, text, device=device)
            if ledger.state is _R.RUNNING:
                for stage, state in ledger.stages.items():
                    if state in _STOPPED:
                        text = f"stage {stage} is {state}, and the rollout runs"
                        self._blame(Invariant.RESUME, number, text)
            self._check_committed(ledger, until - grace_s)

    def rest(self, rollout: int, now: float) -> None:
        """Nothing more was to be decided about a rollout: all that was heard was acted upon."""
        self._check_committed(self._rollouts[rollout], now)

    def _check_committed(self, ledger: Ledger, latest: float) -> None:
        if ledger.state in (_R.RUNNING, _R.COMPLETED, _R.COMPLETED_DEGRADED):
            for device in ledger.committed():
                self._check_still(ledger, device, latest)

    def _check_still(self, ledger: Ledger, device: str, latest: float) -> None:
        """A committed device runs it still, or what it says is too new to have been looked at."""
        key = (device, ledger.slot)
        if key not in self._heard or self._owner.get(key, ledger.number) != ledger.number:
            return
        report, since = self._heard[key]
        is_answer = report.revision_seen >= ledger.revisions.get(device, 0)
        # Nothing runs while a worker is started again: that is not another digest.
        is_other = report.running not in ("", ledger.digests[device])
        if is_answer and is_other and since <= latest:
            text = f"it runs {report.running} and counts as committed"
            self._blame(Invariant.REOPENED, ledger.number, text, device=device)

    def _follow(self, ledger: Ledger, event: RolloutEvent) -> None:
        for invariant, text in ledger.follow(event):
            self._blame(invariant, ledger.number, text, device=event.device, event=event.id)
        if not event.device:
            return
        key = (event.device, ledger.slot)
        if event.after in _ASKED:
            self._asked[key].add(ledger.number)
        else:
            self._asked[key].discard(ledger.number)
        if event.after == _A.OFFERED:
            self._owner[key] = ledger.number
        if "revision" in event.evidence:
            self._check_revision(ledger, event)
        if event.after == _A.COMMITTED and event.before != _A.COMMITTED and self._has_reports:
            self._check_commit(ledger, event)

    def _check_revision(self, ledger: Ledger, event: RolloutEvent) -> None:
        revision = int(event.evidence["revision"])
        ledger.revisions[event.device] = revision
        self._revisions[event.device, revision] = ledger.number
        highest, when = self._told.get(event.device, (0, 0.0))
        # One transaction writes one; and a revert of what is not wanted any more changes nothing.
        is_same = event.time == when or event.after != _A.OFFERED
        is_old = revision < highest if is_same else revision <= highest
        if is_old or event.before == _A.SUPERSEDED:
            text = f"{event.before}, and revision {revision} was written after revision {highest}"
            self._blame(
                Invariant.SUCCESSION, ledger.number, text, device=event.device, event=event.id
            )
        self._told[event.device] = (max(highest, revision), event.time)

    def _check_commit(self, ledger: Ledger, event: RolloutEvent) -> None:
        report, _since = self._heard.get((event.device, ledger.slot), (None, 0.0))
        wanted = ledger.digests.get(event.device, "")
        revision = ledger.revisions.get(event.device, 0)
        is_shown = (
            report is not None
            and report.is_active
            and report.running == wanted
            and report.revision_seen >= revision
        )
        if not is_shown:
            said = (
                "nothing"
                if report is None
                else f"revision {report.revision_seen}, running {report.running or 'nothing'}"
                f"{'' if report.is_active else ' on trial'}"
            )
            self._blame(
                Invariant.MISSING_DATA,
                ledger.number,
                f"committed; expected revision {revision}, running {wanted}; reported: {said}",
                device=event.device,
                event=event.id,
            )

    def _check_alone(self, key: tuple[str, str], event: int) -> None:
        there = sorted(
            number
            for number in self._asked[key]
            if not (
                self._rollouts[number].states.get(key[0]) is _A.COMMITTED
                and self._rollouts[number].state in FINISHED
            )
        )
        if len(there) > 1:
            text = f"rollouts {', '.join(map(str, there))} all ask for slot {key[1]}"
            self._blame(Invariant.ONE_ACTIVE, there[-1], text, device=key[0], event=event)

    def _blame(
        self, invariant: Invariant, rollout: int, text: str, *, device: str = "", event: int = 0
    ) -> None:
        self.found.append(
            Violation(invariant=invariant, rollout=rollout, text=text, device=device, event=event)
        )
