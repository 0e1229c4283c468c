"""Downloads without a network: the files of the service, brought as badly as the test wants."""

from collections.abc import Callable, Mapping
from typing import Final

from edge_agent.errors import Superseded, Unavailable
from edge_agent.link.answer import TryLater
from edge_agent.link.download import Downloader, Wanted
from edge_agent.store.blobs import BlobStore
from tests.simulation.disorder import Disorder
from tests.simulation.fate import Fate
from tests.support.simulated_clock import SimulatedClock

BUSY_S: Final = 20.0


class SimulatedDownloader(Downloader):
    """Brings files out of a mapping.

    Args:
        clock: of the device.
        fate: of its agent.
        disorder: of the world.
        files: gives what the service has, by digest; None while it is away.
    """

    def __init__(
        self,
        clock: SimulatedClock,
        fate: Fate,
        disorder: Disorder,
        files: Callable[[], Mapping[str, bytes] | None],
    ) -> None:
        super().__init__("http://cloud.invalid", clock=clock)
        self._simulated_clock = clock
        self._fate = fate
        self._disorder = disorder
        self._files = files

    def fetch(
        self,
        blobs: BlobStore,
        wanted: Wanted,
        *,
        deadline: float,
        is_superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        """Bring a blob into the store, or fail as real downloads do."""
        self._fate.pass_by("before a download")
        files = self._files()
        if self._disorder.is_network_cut or files is None:
            raise Unavailable("nobody answers", code="cloud_unreachable")
        fault = self._disorder.downloads.popleft() if self._disorder.downloads else ""
        if fault == "fails":
            raise Unavailable("the connection was reset", code="cloud_unreachable")
        if fault == "busy":
            raise TryLater("too many downloads", after_s=BUSY_S)
        if wanted.digest not in files:
            raise Unavailable(f"{wanted.digest} is not there", code="blob_missing")
        data = files[wanted.digest]
        part = blobs.reserve(wanted.digest, limit=wanted.limit, size=wanted.size)
        try:
            half = max(part.received, len(data) // 2)
            part.write(data[part.received : half])
            self._fate.pass_by("within a download")
            if is_superseded():
                raise Superseded("not wanted any more")
            if fault == "stalls":
                left_s = deadline - self._simulated_clock.monotonic()
                self._simulated_clock.advance(max(0.0, left_s))
                raise Unavailable("nothing comes any more", code="download_stalled")
            rest = data[half:]
            if fault == "lies":
                rest = bytes(len(rest))
            if fault != "truncates":
                part.write(rest)
            part.commit()
            self._fate.pass_by("after a download")
        finally:
            part.keep()
