"""The orders that a worker gets from its agent, one line each, read on a thread of their own.

Their end is an order to stop: a worker never outlives its agent.
"""

import logging
import signal
import threading
from collections.abc import Callable
from typing import BinaryIO, Final

import msgspec

from edge_agent.runtime.protocol import WorkerOrder, order_decoder

MAX_ORDER_BYTES: Final = 4 * 2**20
LEAVE_S: Final = 10
"""Longest time from the end of the orders to that of the process. An agent that lives ends it
sooner; this is for one that does not, and for a model that holds the interpreter."""

_log = logging.getLogger("shoal.worker")


def obey(
    orders: BinaryIO, *, on_order: Callable[[WorkerOrder], None], on_stop: Callable[[], None]
) -> None:
    """Read orders from now on; returns at once.

    Args:
        orders: the pipe from the agent.
        on_order: called with each order but "stop", on the thread that reads.
        on_stop: called once, on that thread, when the worker is to end.
    """
    threading.Thread(
        target=_read, args=(orders, on_order, on_stop), name="orders", daemon=True
    ).start()


def _read(
    orders: BinaryIO, on_order: Callable[[WorkerOrder], None], on_stop: Callable[[], None]
) -> None:
    try:
        while text := orders.readline(MAX_ORDER_BYTES):
            try:
                order = order_decoder.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.warning("order_ignored reason=%s", error)
                continue
            if order.order == "stop":
                return
            on_order(order)
    finally:
        # By the kernel, should nothing else get to run.
        signal.alarm(LEAVE_S)
        on_stop()
