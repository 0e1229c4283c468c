"""What a worker process does from its fork to its end: one slot, told what to do by pipe.

Reads a `WorkerSpec` line and `WorkerOrder` lines from standard input, writes event lines to
standard output, logs to standard error. This file only looks which mode is asked for: `trial`,
`serve` and `observe` are what a worker does. How it ends: `exit_status`.
"""

import logging
import os
import signal
import sys
from typing import BinaryIO, Final

import msgspec

from edge_agent.runtime.exit_status import ExitStatus
from edge_agent.runtime.handles import RUN_MARK_FD, STATE_FD, Handles
from edge_agent.runtime.observe import observe
from edge_agent.runtime.protocol import spec_decoder
from edge_agent.runtime.serve import serve
from edge_agent.runtime.trial import try_out

MAX_SPEC_BYTES: Final = 4 * 2**20


def main() -> int:
    """Run one worker on this process's standard input and output; returns the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=_log_format("-"))
    # Ctrl-C in a terminal reaches the whole group; the agent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders, events = _take_pipes()
    try:
        spec = spec_decoder.decode(orders.readline(MAX_SPEC_BYTES))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        sys.stderr.write(f"the first line of standard input is no WorkerSpec: {error}\n")
        return ExitStatus.BAD_SPEC
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format=_log_format(spec.slot), force=True
    )
    handles = Handles(RUN_MARK_FD, STATE_FD if spec.has_state else None)
    if spec.mode == "trial":
        return try_out(spec, orders, events)
    if spec.mode == "shadow":
        return observe(spec, orders, events)
    return serve(spec, orders, events, handles)


def _log_format(slot: str) -> str:
    """As the agent's own lines, between which ours stand."""
    return f"%(asctime)s %(levelname)s event=%(message)s slot={slot}"


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Our two pipes. A library that prints goes to standard error and not between the events."""
    orders = os.fdopen(os.dup(0), "rb")
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return orders, events
