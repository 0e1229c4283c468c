"""Score profiles of the versions that simulated devices are asked to run, from the service.

A real device has a version's manifest before the version begins; here one reading serves all
devices. The event loop of the devices never waits for it: a version of which nothing is known yet
counts no scores, and all of them as soon as it is.
"""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from msgspec import UnsetType

from cloud_sync.client import ShoalClient
from cloud_sync.errors import ShoalError, Unavailable
from cloud_sync.simulator.scores import ScoreCycle
from edge_agent.contract.scores import Profile
from edge_agent.contract.state import WantedSlot

_LOOK_S: Final = 0.2
_AGAIN_S: Final = 1.0
logger = logging.getLogger(__name__)


class Profiles:
    """What is known of versions. Devices ask on one thread, another one reads."""

    def __init__(self) -> None:
        self._known: dict[str, Profile | None] = {}
        self._cycles: dict[tuple[str, float], ScoreCycle] = {}
        self._asked: set[str] = set()
        self._unread: queue.SimpleQueue[WantedSlot] = queue.SimpleQueue()

    def scores_of(self, version: WantedSlot, psi: float) -> ScoreCycle | None:
        """The scores of a version; None if it has no profile, or that is not known yet.

        Args:
            version: that a device runs, or is asked to.
            psi: population stability index between its scores and its profile.
        """
        digest = version.digest
        if digest not in self._known:
            if digest not in self._asked:
                self._asked.add(digest)
                self._unread.put(version)
            return None
        profile = self._known[digest]
        if profile is None:
            return None
        found = self._cycles.get((digest, psi))
        if found is None:
            found = self._cycles[digest, psi] = ScoreCycle(profile, psi)
        return found

    def learn(self, digest: str, profile: Profile | None) -> None:
        """Keep a version's profile; None for a version without one."""
        self._known[digest] = profile

    def read(self, client: ShoalClient, is_over: Callable[[], bool]) -> None:
        """Read from the service what devices ask for, until it is over.

        Args:
            client: of the service.
            is_over: whether nobody wants it any more.
        """
        again = threading.Event()
        while not is_over():
            try:
                version = self._unread.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            try:
                self.learn(version.digest, _profile_of(client, version))
            except Unavailable:
                self._unread.put(version)
                again.wait(_AGAIN_S)
            except ShoalError as error:
                self.learn(version.digest, None)
                name = f"{version.module}/{version.version}"
                logger.warning(
                    "event=no_profile module=%s code=%s text=%r", name, error.code, error.text
                )


def _profile_of(client: ShoalClient, version: WantedSlot) -> Profile | None:
    published = client.modules.show(version.module, version.version)
    found = client.modules.manifest(published).health.profile
    return None if isinstance(found, UnsetType) else found
