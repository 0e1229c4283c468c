"""Trouble: what a rollout's rounds fail by, told in its row and its history.

A round that fails leaves nothing behind, so what it failed by is written in a transaction of its
own. The next round that succeeds writes that it is over, as every other decision. Decides nothing.
"""

from typing import Final

from sqlalchemy import Connection, select, update

from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.rollout import journal
from cloud_sync.rollout_resources import RolloutEvent

_R: Final = rollouts.c


def note_failure(
    connection: Connection, number: int, text: str, code: str, *, actor: str, now: float
) -> bool:
    """Write down what a round failed by.

    Args:
        connection: of a transaction after the one that failed.
        number: of the rollout.
        text: for people: what is wrong, and what to do.
        code: stable, of the error.
        actor: who drove it.
        now: seconds since 1970.

    Returns:
        False if that is known already, or the rollout is gone.
    """
    is_news = (_R.id == number, _R.trouble != text)
    state = connection.scalar(select(_R.state).where(*is_news))
    if state is None:
        return False
    values = {"trouble": text, "edition": _R.edition + 1}
    connection.execute(update(rollouts).where(_R.id == number).values(values))
    entry = RolloutEvent(
        id=0,
        time=journal.stamp(connection, now),
        stage=None,
        device="",
        before=state,
        after=state,
        actor=actor,
        reason=text,
        evidence={"code": code},
    )
    journal.write(connection, number, [entry])
    return True
