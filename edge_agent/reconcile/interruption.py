"""Whether the last run of the agent was cut off while something was under way, or ended in order.

Kept as one counter of the journal, which is written at an orderly end and only if it matters: no
word about the end means that there was no time for one. Decides nothing about versions.
"""

import logging
from typing import Final

from edge_agent.errors import StorageError
from edge_agent.store.journal import Journal

log: Final = logging.getLogger("edge_agent.reconcile")

RESTED: Final = "rested"
"""1 if the last run ended in good order with something under way."""


def note_end(journal: Journal) -> None:
    """The agent ends in good order: what is under way is not interrupted by it."""
    if any(record.step for record in journal.slots().values()):
        _note(journal, 1)


def take_interruption(journal: Journal) -> bool:
    """Whether the last run was cut off. Its orderly end counts for one start only."""
    if journal.counter(RESTED) == 0:
        return True
    _note(journal, 0)
    return False


def _note(journal: Journal, value: int) -> None:
    try:
        journal.set_counter(RESTED, value)
    except StorageError as error:
        # Then one interruption is counted too many or too few: no reason not to start or end.
        log.error("event=journal_failed code=%s text=%r", error.code, error.text)
