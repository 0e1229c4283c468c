"""A forked process that does one thing and ends: what it must not do is outlive its parent's wait.

The parent has everything imported and no threads, so a child costs milliseconds. It leaves by
`os._exit`: nothing of the parent's is flushed or closed twice.
"""

import faulthandler
import gc
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

LONGEST_S: Final = 60
LOOK_S: Final = 5
"""So long before it is ended, one that hangs says where."""

BROKE: Final = 70


def run(action: Callable[[], None], words: Path) -> int:
    """Do something in a child and wait for its end.

    Args:
        action: what the child does.
        words: where it says why, if it fails.

    Returns:
        0, `BROKE`, or the number of the signal that ended it, negative.
    """
    _, status = os.waitpid(start(action, words), 0)
    return os.waitstatus_to_exitcode(status)


def start(action: Callable[[], None], words: Path, *, longest_s: int = LONGEST_S) -> int:
    """Do something in a child. Returns its process id.

    Args:
        action: what the child does.
        words: where it says why, if it fails.
        longest_s: it is ended after so long.
    """
    pid = os.fork()
    if pid:
        return pid
    code = BROKE
    try:
        # Nothing here waits for anything: one that takes so long hangs, and dies of it.
        signal.alarm(longest_s)
        # Who observes calls is called from within SQLite, which holds its lock then: a connection
        # that the collector closed there would wait for it for ever.
        gc.disable()
        with words.open("w") as stacks:
            faulthandler.dump_traceback_later(longest_s - LOOK_S, file=stacks)
            action()
            faulthandler.cancel_dump_traceback_later()
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it is, the parent must hear of it
        words.write_text(traceback.format_exc())
    finally:
        os._exit(code)


def last_words(words: Path) -> str:
    """Why a child failed."""
    return words.read_text() if words.exists() else ""
