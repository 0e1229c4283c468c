"""cloud-sync that dies at every transition of a rollout, and is started again each time.

python -m tests.support.mortal_service DEATHS serve --port 8080 ...

Each life is a process of its own, forked from one that has everything imported, so that dozens of
restarts take seconds. By turns a life ends right after the first transaction that writes history of
a rollout, before anybody is told of it; and right before that transaction is committed, so that
nothing of it stays. The file DEATHS counts them. It ends in its turn when it is asked to.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import sqlalchemy.pool
from sqlalchemy import Connection, Engine, event

from cloud_sync import app

_PR_SET_PDEATHSIG = 1
_WROTE = "wrote a rollout's history"
_DYING = "dies now"


def main() -> int:
    """Live again and again. Returns the exit status of the life that ended in good order."""
    deaths = Path(sys.argv.pop(1))
    child = 0

    def stop(number: int, _frame: FrameType | None) -> None:
        if child:
            os.kill(child, number)

    signal.signal(signal.SIGTERM, stop)
    count = 0
    while True:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # Not to be left behind by a test that fails.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _be_mortal(dies_before=count % 2 == 1)
            app.main()
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code != -signal.SIGKILL:
            return code
        count += 1
        deaths.write_text(f"{count}\n")


def _be_mortal(*, dies_before: bool) -> None:
    @event.listens_for(Engine, "before_cursor_execute")
    def _look(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO rollout_events"):
            connection.info[_WROTE] = True

    @event.listens_for(Engine, "commit")
    def _commit(connection: Connection) -> None:
        if connection.info.pop(_WROTE, False):
            if dies_before:
                os.kill(os.getpid(), signal.SIGKILL)
            connection.info[_DYING] = True

    @event.listens_for(Engine, "rollback")
    def _rollback(connection: Connection) -> None:
        connection.info.pop(_WROTE, None)

    @event.listens_for(sqlalchemy.pool.Pool, "checkin")
    def _committed(_connection: Any, record: sqlalchemy.pool.ConnectionPoolEntry) -> None:
        if record.info.get(_DYING):
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
