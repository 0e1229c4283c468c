"""The driver: one thread that looks after every rollout, woken by reports, orders and the clock.

It says when a rollout has its round, and publishes what came of it after the commit. What a round
is stands in `course`; what it decides in `plan`. Several services may drive at once: their
transactions take turns, and a lease in each rollout's row saves them double work.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Final

from sqlalchemy import and_, exists, or_, select, update

from cloud_sync.db.engine import Database
from cloud_sync.db.fleet_tables import running_slots
from cloud_sync.db.rollout_tables import rollout_assignments, rollouts
from cloud_sync.errors import ShoalError, StorageError, Unavailable
from cloud_sync.fleet.publisher import DesiredPublisher
from cloud_sync.fleet.spread import STARTS_PER_S
from cloud_sync.rollout.course import IDLE_S, Course
from cloud_sync.rollout.returning import UNANSWERED
from cloud_sync.rollout.settle import SERVICE
from cloud_sync.rollout.states import ENDED
from cloud_sync.rollout.trouble import note_failure
from cloud_sync.rollout_resources import AssignmentState, RolloutState

LOOK_S: Final = 1.0
"""Longest time between two looks: another service may have taken in a report."""
PAUSE_S: Final = 0.05
"""After each look, so that a burst of reports makes a few rounds and not thousands."""
BREATH_S: Final = 0.005
"""Between two rounds, so that those who take reports in get their turn to write."""
ROUNDS: Final = 100
"""Most rounds of one rollout in a row; the others want theirs, too."""
RETRY_S: Final = 5.0

_R: Final = rollouts.c
_A: Final = rollout_assignments.c
_DRIVEN: Final = (
    RolloutState.DRAFT,
    RolloutState.READY,
    RolloutState.PENDING_APPROVAL,
    RolloutState.RUNNING,
    RolloutState.PAUSED,
    RolloutState.ROLLING_BACK,
)
_LEFT_OVERS: Final = (
    RolloutState.CANCELLED,
    RolloutState.COMPLETED_DEGRADED,
    RolloutState.ROLLBACK_INCOMPLETE,
    RolloutState.SUPERSEDED,
)
_OVER: Final = (RolloutState.COMPLETED, RolloutState.COMPLETED_DEGRADED)
_OPEN: Final = sorted(set(AssignmentState) - ENDED - {AssignmentState.COMMITTED})
logger = logging.getLogger(__name__)


class Driver:
    """Drives all rollouts that are not driven by another service.

    Args:
        database: where they are.
        publisher: tells the devices.
        starts_per_s: devices that may begin in a second with what many are told at once.
        clock: seconds since 1970.
        owner: of the leases: a service that is started again goes on at once by the same name;
            empty for one that no other run has.
    """

    def __init__(
        self,
        database: Database,
        publisher: DesiredPublisher,
        *,
        starts_per_s: float = STARTS_PER_S,
        clock: Callable[[], float] = time.time,
        owner: str = "",
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._starts_per_s = starts_per_s
        self._clock = clock
        self._owner = owner or uuid.uuid4().hex
        self._courses: dict[int, Course] = {}
        self._due: dict[int, float] = {}
        self._held: dict[int, float] = {}
        self._left_overs_at = 0.0
        self._left_overs: set[int] = set()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)
        self.progressed = time.monotonic()
        """When the thread last looked or began a round, monotonic; for the watchdog."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread after the round that it is at, and leave the rollouts to others."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        try:
            with self._database.write() as connection:
                mine = _R.lease_owner == self._owner
                connection.execute(update(rollouts).where(mine).values(lease_until=0.0))
        except ShoalError as error:
            # They are free when the lease ends.
            logger.warning("event=leases_kept code=%s text=%r", error.code, error.text)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Have the driver look soon: a report came, or an order."""
        self._woken.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.wait(LOOK_S)
            self._woken.clear()
            try:
                self.look()
            except ShoalError as error:
                logger.error("event=rollouts_failed code=%s text=%r", error.code, error.text)
                self._stopping.wait(RETRY_S)
            self.progressed = time.monotonic()
            self._stopping.wait(PAUSE_S)

    def look(self) -> None:
        """Give every rollout that wants one its rounds.

        Raises:
            StorageError, Unavailable: the database refused to say which.
        """
        now = self._clock()
        for number in self._wanting(now):
            if self._stopping.is_set():
                return
            self._drive(number)

    def _wanting(self, now: float) -> list[int]:
        """Rollouts whose time has come, or whose devices have spoken; the oldest first."""
        with self._database.read() as connection:
            is_followed = and_(_R.state.in_(_OVER), _R.is_followed.is_(True))
            is_driven = or_(_R.state.in_(_DRIVEN), is_followed)
            found = connection.execute(select(_R.id, _R.edition).where(is_driven))
            editions = {row.id: row.edition for row in found}
            driven = set(editions)
            query = select(_A.rollout).where(_A.has_news).distinct()
            news = set(connection.scalars(query))
            if not 0 <= now - self._left_overs_at < LOOK_S:
                is_open = exists().where(_A.rollout == _R.id, _A.state.in_(_OPEN))
                # One that did not answer may still run the version, and may come back.
                is_unsure = and_(
                    _R.state == RolloutState.ROLLBACK_INCOMPLETE,
                    exists().where(
                        _A.rollout == _R.id, _A.state.in_(sorted(UNANSWERED)), _A.revision > 0
                    ),
                )
                query = select(_R.id).where(_R.state.in_(_LEFT_OVERS), or_(is_open, is_unsure))
                self._left_overs = set(connection.scalars(query))
                self._left_overs_at = now
        driven |= self._left_overs
        quiet = self._settle_quietly(news - driven)
        for gone in self._courses.keys() - driven - news:
            del self._courses[gone]
            self._due.pop(gone, None)
            self._held.pop(gone, None)
        late = {
            number
            for number in driven
            if self._is_due(number, now) or self._is_changed(number, editions.get(number))
        }
        held = {number for number, until in self._held.items() if now < until <= now + RETRY_S}
        return sorted((late | (news - quiet)) - held)

    def _is_due(self, number: int, now: float) -> bool:
        # A clock that was set back must not make a rollout wait for its old time.
        return not now < self._due.get(number, 0.0) <= now + IDLE_S

    def _is_changed(self, number: int, edition: int | None) -> bool:
        """Whether somebody gave it an order since: one that had nothing to do was left alone."""
        course = self._courses.get(number)
        return course is not None and edition is not None and course.edition != edition

    def _settle_quietly(self, numbers: set[int]) -> set[int]:
        """News that change nothing of rollouts that are over: their devices run what they should.

        Returns:
            The rollouts that need no round.
        """
        if not numbers:
            return set()
        is_as_it_should = and_(
            _A.state == AssignmentState.COMMITTED,
            exists().where(
                running_slots.c.device == _A.device,
                running_slots.c.slot == _A.slot,
                running_slots.c.digest == _A.digest,
            ),
        )
        is_done = or_(is_as_it_should, _A.state.in_(sorted(ENDED)))
        with self._database.write() as connection:
            loud = set(
                connection.scalars(
                    select(_A.rollout)
                    .where(_A.rollout.in_(numbers), _A.has_news, ~is_done)
                    .distinct()
                )
            )
            quiet = numbers - loud
            if quiet:
                connection.execute(
                    update(rollout_assignments)
                    .where(_A.rollout.in_(quiet), _A.has_news)
                    .values(has_news=False)
                )
        return quiet

    def _drive(self, number: int) -> None:
        """Rounds of one rollout until it has nothing more to decide."""
        course = self._courses.get(number)
        if course is None:
            course = self._courses[number] = Course(number, self._owner, self._starts_per_s)
        for _ in range(ROUNDS):
            self.progressed = time.monotonic()
            now = self._clock()
            try:
                with self._database.read() as connection:
                    course.prepare(connection, now)
                with self._database.write() as connection:
                    # What was reported while it waited for its turn is not later than what follows.
                    now = self._clock()
                    played = course.play(connection, now)
            except ShoalError as error:
                logger.error(
                    "event=rollout_failed rollout=r%d code=%s text=%r",
                    number,
                    error.code,
                    error.text,
                )
                self._give_up(number, now)
                if not isinstance(error, StorageError | Unavailable):  # those are not about it
                    self._tell(number, now, str(error), error.code)
                return
            except Exception:  # a mistake in one rollout must not stop all others
                logger.exception("event=rollout_failed rollout=r%d", number)
                self._give_up(number, now)
                self._tell(number, now, "the service failed at it; its log says more", "internal")
                return
            self._publisher.publish(*sorted(played.tell))
            for other in played.disturbed:
                self._due.pop(other, None)
            if played.next_look is None:
                self._held[number] = now + LOOK_S
                return
            self._due[number] = played.next_look
            if not played.decided or self._stopping.wait(BREATH_S):
                return
        self._woken.set()  # there is more to decide

    def _give_up(self, number: int, now: float) -> None:
        """Begin again from what is stored, a little later."""
        self._courses.pop(number, None)
        self._held[number] = now + RETRY_S

    def _tell(self, number: int, now: float, text: str, code: str) -> None:
        """Have people see what a rollout's rounds fail by, beside the log."""
        try:
            with self._database.write() as connection:
                note_failure(connection, number, text, code, actor=SERVICE, now=now)
        except ShoalError as error:
            logger.warning("event=trouble_untold rollout=r%d code=%s", number, error.code)
