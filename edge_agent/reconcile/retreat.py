"""When a worker leaves the accelerator that its processes end on. Pure.

A driver or a provider can crash or hang in the middle of a message, after its golden cases passed.
onnxruntime cannot report that, because the process is gone; and the next process would go the same
way. So the ends of processes are counted as long as they run on one accelerator, and after
`MOST_ENDS` of them in a row the model moves to the next provider of its order, the CPU at last.

Nothing of it is kept on the disk: another start of the agent, or another version, tries the
accelerator again, which is how a device comes back from a driver that was ill for a day.
"""

import signal
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from edge_agent.contract.providers import CPU, fallback_note, short_name
from edge_agent.reconcile.restart import HEALTHY_S
from edge_agent.runtime.protocol import RunsOn

MOST_ENDS: Final = 5
"""More than the three after which a message is poison: one bad message moves no model."""

_TELLING: Final = frozenset({"crashed", "worker_hung", "load_timeout"})
"""Error codes of ends that a provider can be to blame for."""
_FROM_OUTSIDE: Final = frozenset({-signal.SIGKILL, -signal.SIGTERM})
"""Who is short of memory or of patience sends these; a library does not."""


class Ends(Struct, frozen=True):
    """Processes in a row that ended on one provider.

    Attributes:
        provider: onnxruntime's name.
        count: of them.
    """

    provider: str = CPU
    count: int = 0


def count_end(ends: Ends, provider: str, code: str, returncode: int, lived_s: float) -> Ends:
    """Take another end into account.

    Args:
        ends: so far.
        provider: that the process ran on; what it was told to run on if it never got so far.
        code: of the error that it ended with.
        returncode: as of `subprocess`.
        lived_s: from its start.
    """
    if provider != ends.provider or lived_s >= HEALTHY_S:
        ends = Ends(provider)
    is_from_outside = code == "crashed" and returncode in _FROM_OUTSIDE
    if provider == CPU or code not in _TELLING or is_from_outside:
        return ends
    return Ends(provider, ends.count + 1)


def retreat(runs_on: RunsOn, ends: Ends) -> RunsOn | None:
    """What to run on instead, or None to stay.

    Args:
        runs_on: so far.
        ends: of its processes.
    """
    if ends.count < MOST_ENDS or ends.provider == CPU:
        return None
    providers = runs_on.providers
    behind = providers.index(ends.provider) + 1 if ends.provider in providers else len(providers)
    left = providers[behind:] or (CPU,)
    reason = f"{ends.count} processes in a row ended while the model ran on it"
    note = fallback_note(ends.provider, reason, short_name(left[0]))
    options = {name: found for name, found in runs_on.options.items() if name in left}
    # What was measured was measured on the other one, and is kept for it.
    return replace(
        runs_on,
        providers=left,
        options=options,
        notes=(*runs_on.notes, note),
        measured=None,
        key="",
    )
