"""Loading a module's model on what its device gives it: providers, and the threads that pay.

Reads how many processors the process may use; everything else is handed in.
"""

import contextlib
from collections.abc import Callable
from time import perf_counter
from typing import Final

from msgspec import Struct

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.providers import CPU, short_name
from edge_agent.errors import ModelError, ShoalError
from edge_agent.runtime.cpus import allowed_cpus
from edge_agent.runtime.measurement import (
    CHEAP_US,
    FEWEST_RUNS,
    LONGEST_S,
    batch_gain,
    is_worth,
    largest_batch,
    shortest_run_us,
    thread_counts,
    threads_worth_having,
    zeros,
)
from edge_agent.runtime.protocol import Measured, RunsOn
from edge_agent.runtime.provider_options import has_threads
from edge_agent.runtime.run_watch import deadline
from edge_agent.runtime.session import ModelSession, Opener
from edge_agent.runtime.verify import check_signature

Open = Callable[[int], ModelSession]
"""Loads the model with some threads."""

_clock: Final = perf_counter


class Opened(Struct, frozen=True):
    """A model that is ready to run.

    Attributes:
        session: the loaded model.
        measured: what is known about it on this machine; None if nothing is.
        is_new: whether that was measured just now.
        notes: what is not as it was asked for and why, one sentence each; `session.notes` has more.
        fall_backs: those of them that are about providers.
    """

    session: ModelSession
    measured: Measured | None
    is_new: bool
    notes: tuple[str, ...] = ()
    fall_backs: tuple[str, ...] = ()


def open_session(
    model: bytes,
    manifest: Manifest,
    runs_on: RunsOn,
    *,
    cpus: int | None = None,
    opener: Opener | None = None,
) -> Opened:
    """Load a model.

    Args:
        model: bytes of its file, verified.
        manifest: of its module.
        runs_on: what to run it on. If it has no measurement and wants one, one is made.
        cpus: that may be used; None looks.
        opener: see `ModelSession`.

    Raises:
        Unsupported, ModelError: it does not load, see `ModelSession`.
        ContractError: the manifest does not describe it.
    """
    allowed = allowed_cpus() if cpus is None else cpus
    limit = min(allowed, runs_on.max_threads or allowed)
    asked = manifest.runtime.threads
    notes = runs_on.notes
    if asked > limit:
        notes += (f"{asked} threads are wanted; it runs with {limit}, which is all it may use",)

    def load(threads: int) -> ModelSession:
        session = ModelSession(
            model,
            providers=runs_on.providers,
            options=runs_on.options,
            threads=threads,
            opener=opener,
        )
        check_signature(manifest, session)
        return session

    known = runs_on.measured
    if known is None and runs_on.is_measuring:
        counts = (min(asked, limit),) if asked else thread_counts(limit)
        session, known = _measure(load, manifest, counts)
        is_new = known is not None
    else:
        session = load(min(asked or (known.threads if known else 1), limit))
        is_new = False
    if session.providers[0] != CPU:
        _compile(session, manifest)
    if runs_on.providers[0] != CPU and manifest.runtime.memory_mb:
        name = short_name(runs_on.providers[0])
        text = f"memory_mb holds once the model is loaded; what {name} takes before has no bound"
        notes += (text,)
    return Opened(session, known, is_new, notes, runs_on.notes)


def _compile(session: ModelSession, manifest: Manifest) -> None:
    """Run one row, and as many as may come together: the ends of what a provider will see.

    Some compile for each shape that is outside of what they have seen, which takes seconds. A
    model may refuse zeros; then it compiles when messages come.
    """
    names = [spec.name for spec in manifest.model.outputs]
    with deadline(session, manifest.runtime.run_timeout_ms / 1e3):
        for rows in (1, largest_batch(manifest)):
            with contextlib.suppress(ModelError, MemoryError):
                session.run(names, zeros(manifest.model.inputs, rows))


def _measure(
    load: Open, manifest: Manifest, counts: tuple[int, ...]
) -> tuple[ModelSession, Measured | None]:
    """Load with the number of threads that pays; one copy of the model at a time.

    Returns:
        The session, and the measurement; None if the model refuses zeros, or runs on them for ever.
    """
    names = [spec.name for spec in manifest.model.outputs]
    feed = zeros(manifest.model.inputs)
    timeout_s = manifest.runtime.run_timeout_ms / 1e3
    began = _clock()
    session: ModelSession | None = load(counts[0])
    assert session is not None  # noqa: S101 -- for the type checker: it is None between two loads
    load_s = _clock() - began
    try:
        with deadline(session, timeout_s):
            times = {counts[0]: shortest_run_us(session, names, feed, _clock)}
    except ModelError:
        return session, None
    for count in counts[1:] if has_threads(session.providers[0]) else ():
        best = threads_worth_having(times)
        next_s = load_s + (FEWEST_RUNS + 1) * times[best] / 1e6
        if times[best] < CHEAP_US or _clock() - began + next_s > LONGEST_S:
            break
        session = None  # before the next is loaded: there may be no memory for two
        try:
            session = load(count)
            with deadline(session, timeout_s):
                times[count] = shortest_run_us(session, names, feed, _clock)
        except ShoalError:
            break  # more threads need more memory, and there is a bound on it
        if not is_worth(best, times[best], count, times[count]):
            break
    best = threads_worth_having(times)
    if session is None or session.threads != best:
        session = None
        session = load(best)
    with deadline(session, timeout_s):
        rows, gain = batch_gain(session, manifest, times[best], _clock)
    return session, Measured(
        threads=best, run_us=round(times[best], 2), batch_rows=rows, batch_gain=gain
    )
