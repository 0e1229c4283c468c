"""A short measurement of a model on this machine: how many threads pay, and whether batches do.

Run where the model is loaded for its trial, so that nobody waits for it. What to make of the times
is decided by pure functions; the clock and the session are handed in.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.signature import DYNAMIC, TensorSpec
from edge_agent.errors import ModelError
from edge_agent.runtime.protocol import Measured
from edge_agent.runtime.session import Array, Feed

CHEAP_US: Final = 200.0
"""A run that is shorter is over before a sleeping thread has woken up to help."""

WORTH: Final = 0.3
"""Twice the threads must be faster by this share, or the other slots have more use for them."""

PAYS: Final = 1.1
"""A batch must give this many times the rows per second of single rows."""

SLICE_S: Final = 0.04
"""What one figure may take, if that is enough for `FEWEST_RUNS`; a cheap model takes far less."""

LONGEST_S: Final = 10.0
"""No further number of threads is tried when it would go beyond this."""

FEWEST_RUNS: Final = 2
MOST_RUNS: Final = 30
BATCH_ROWS: Final = 32
LONGEST_BATCH_S: Final = 0.1
LARGEST_BATCH_BYTES: Final = 4 * 2**20
"""Of its inputs: what a model makes of them on the way is many times that."""


class Runner(Protocol):
    """A loaded model."""

    def run(self, output_names: Sequence[str], feed: Feed) -> list[Array]:
        """Compute outputs."""
        ...


def thread_counts(limit: int) -> tuple[int, ...]:
    """What to try: 1, 2, 4 ... and the limit itself."""
    counts = [1]
    while counts[-1] * 2 <= limit:
        counts.append(counts[-1] * 2)
    return (*counts, limit) if counts[-1] < limit else tuple(counts)


def is_worth(before: int, before_us: float, after: int, after_us: float) -> bool:
    """Whether more threads are clearly faster than fewer.

    Args:
        before: threads.
        before_us: one run with them, microseconds.
        after: more threads.
        after_us: one run with these.
    """
    return before_us >= after_us * (1 + WORTH * (after / before - 1))


def threads_worth_having(times_us: Mapping[int, float]) -> int:
    """The number of threads to use.

    Args:
        times_us: number of threads to the time of one run, microseconds; has at least one.
    """
    best, *others = sorted(times_us)
    for count in others:
        if is_worth(best, times_us[best], count, times_us[count]):
            best = count
    return best


def batch_pays(measured: Measured | None) -> bool:
    """Whether rows that wait should go into the model together.

    What was not measured does: for small models, batches are many times faster.
    """
    return measured is None or not measured.run_us or measured.batch_gain >= PAYS


def takes_batches(manifest: Manifest) -> bool:
    """Whether inputs and outputs have a free first dimension, as far as the signature says."""
    fixed = {tensor.name for tensor in manifest.tensors if tensor.source == "constant"}
    inputs = [spec for spec in manifest.model.inputs if spec.name not in fixed]
    specs = (*inputs, *manifest.model.outputs)
    return bool(inputs) and all(spec.shape[:1] == (DYNAMIC,) for spec in specs)


def zeros(inputs: Sequence[TensorSpec], rows: int = 1) -> Feed:
    """A feed without meaning; free dimensions are 1, but for the first.

    Args:
        inputs: of the model.
        rows: size of a free first dimension.
    """
    feed: Feed = {}
    for spec in inputs:
        shape = [1 if size == DYNAMIC else size for size in spec.shape]
        if spec.shape[:1] == (DYNAMIC,):
            shape[0] = rows
        if spec.dtype == "string":
            feed[spec.name] = np.full(shape, "", dtype=object)
        else:
            feed[spec.name] = np.zeros(shape, dtype=spec.dtype)
    return feed


def largest_batch(manifest: Manifest) -> int:
    """Rows of the largest batch that is worth a try; 1 if the model takes none."""
    if not takes_batches(manifest):
        return 1
    row_bytes = sum(array.nbytes for array in zeros(manifest.model.inputs).values())
    return max(1, min(manifest.runtime.max_batch, LARGEST_BATCH_BYTES // max(row_bytes, 1)))


def shortest_run_us(
    session: Runner, names: Sequence[str], feed: Feed, clock: Callable[[], float]
) -> float:
    """The shortest of some runs, microseconds: the one that other processes disturbed least.

    Args:
        clock: seconds.

    Raises:
        ModelError: the model refuses the feed.
    """
    began = clock()
    session.run(names, feed)  # pays for first use
    shortest, runs, now = float("inf"), 0, clock()
    while runs < FEWEST_RUNS or (runs < MOST_RUNS and now - began < SLICE_S):
        before = now
        session.run(names, feed)
        now = clock()
        shortest = min(shortest, now - before)
        runs += 1
    return shortest * 1e6


def batch_gain(
    session: Runner, manifest: Manifest, run_us: float, clock: Callable[[], float]
) -> tuple[int, float]:
    """Rows of the batch that was tried (0 for none), and how many times as fast its rows are.

    Args:
        run_us: one run of one row, microseconds.
    """
    rows = min(BATCH_ROWS, largest_batch(manifest))
    while rows > 1 and rows * run_us > LONGEST_BATCH_S * 1e6:
        rows //= 2
    if rows < 2:
        return 0, 1.0
    names = [spec.name for spec in manifest.model.outputs]
    feed = zeros(manifest.model.inputs, rows)
    try:
        outputs = session.run(names, feed)
        if any(output.shape[:1] != (rows,) for output in outputs):
            return 0, 1.0
        batch_us = shortest_run_us(session, names, feed, clock)
    except (ModelError, MemoryError):
        return 0, 1.0  # the signature promises more than the model does
    return rows, round(rows * run_us / max(batch_us, 1e-3), 2)
