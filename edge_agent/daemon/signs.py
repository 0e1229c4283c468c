"""The signs of life of a whole agent, as the watchdog is shown them.

- `reconcile`, `uplink`, `cloud-link`, `local`: when the loop last went round.
- `http`: never, once the thread that keeps the server's process running has ended.
- `worker SLOT`: when something was due for it: the next start of one that ended, the end of one
  that is not well, the readiness of one that loads.
- `slot SLOT`: when the thread that installs a version last asked whether it is still wanted.

A worker is watched through what is owed to it, never through what it does: a model that crashes or
hangs in every run is ended and started again in time, whatever comes of it. Only if nobody does
that, something is overdue. Reads and never waits.
"""

from collections.abc import Iterator
from typing import Final

from edge_agent.daemon.http.process import HttpProcess
from edge_agent.daemon.local import LocalServer
from edge_agent.daemon.reconciler import Reconciler
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.daemon.uplink import Uplink
from edge_agent.daemon.watchdog import ENDED, Sign
from edge_agent.link.session import CloudSession

LONGEST_STEP_S: Final = 1800.0
"""A slot's thread asks at least every few seconds, but hashes a file of gigabytes from an SD card,
or waits for the next bytes of a download (cloud.stall_s), in between."""


def signs(
    reconciler: Reconciler,
    uplink: Uplink,
    session: CloudSession,
    supervisor: Supervisor,
    local: LocalServer,
    http: HttpProcess | None,
    *,
    stall_s: float,
) -> Iterator[Sign]:
    """Everything that must go on.

    Args:
        reconciler: of the agent, as all others.
        http: None if the settings want none.
        stall_s: longest silence in the middle of a download.
    """
    yield Sign("reconcile", reconciler.progress)
    yield Sign("uplink", uplink.progress)
    yield Sign("cloud-link", session.progress)
    if local.progress is not None:
        yield Sign("local", local.progress)
    if http is not None and http.has_ended:
        yield Sign("http", ENDED)
    for slot, since in supervisor.owed().items():
        yield Sign(f"worker {slot}", since)
    for slot, asked in reconciler.working().items():
        yield Sign(f"slot {slot}", asked, LONGEST_STEP_S + stall_s)
