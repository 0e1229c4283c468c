"""How the agent writes its log: one line an event on standard error, `event=name key=value`."""

import logging
import sys
import threading
from typing import Final

FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"


def start_logging(level: str) -> None:
    """Set the process's log up. Called once, by the program's entry.

    Args:
        level: least severe level that is written, in lower case.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # One line a request would be noise; failures are logged by who asked.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)


def log_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """Log an exception that ended a thread, with its trace: it is a defect of the agent."""
    name = failure.thread.name if failure.thread else "unknown"
    logging.getLogger("edge_agent.daemon").critical(
        "event=thread_died thread=%s",
        name,
        exc_info=(
            failure.exc_type,
            failure.exc_value or failure.exc_type(),
            failure.exc_traceback,
        ),
    )
