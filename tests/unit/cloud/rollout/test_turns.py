"""Writers take turns; what a round decides is dated by when it had its turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from cloud_sync.db.engine import Database, sqlite_url
from cloud_sync.rollout.drive import Driver
from cloud_sync.rollout_policy import Policy
from tests.support.cloud import NOW, cloud
from tests.support.puppets import Clock, Puppets

QUEUE_S = 3.0
POLICY = Policy(stages=("1", "100%"), shadow_stages=0, soak_s=0, soak_messages=0, gates=None)


class BusyDatabase(Database):
    """One where everybody waits for their turn to write."""

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(url)
        self._clock = clock

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """As any other, a little later."""
        with super().write() as connection:
            self._clock.now += QUEUE_S
            yield connection


def test_no_transition_is_older_than_what_was_reported_before_its_round(tmp_path: Path) -> None:
    clock = Clock()
    with cloud(tmp_path, clock=clock) as made:
        fleet = Puppets(made, clock, ["line-0", "line-1"])
        made.publish()
        rollout = fleet.begin(policy=POLICY)
        database = BusyDatabase(sqlite_url(tmp_path), clock)
        Driver(database, made.publisher, clock=clock).look()
        database.close()
        (began,) = [
            event for event in made.parts.rollouts.query.events(rollout) if event.after == "filling"
        ]
        # Whatever was taken in while the round waited was taken in before it.
        assert began.time >= NOW + QUEUE_S
