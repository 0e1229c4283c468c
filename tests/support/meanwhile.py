"""Something that happens between two transactions of whatever is tested, always at that moment."""

from collections.abc import Callable

from sqlalchemy import Connection, event

from cloud_sync.db.engine import Database


def meanwhile(database: Database, job: Callable[[], object]) -> None:
    """Do something once, when the next transaction ends and before the one after it begins."""
    jobs = [job]

    def once(_connection: Connection) -> None:
        if jobs:
            jobs.pop()()

    event.listen(database.engine, "commit", once)
