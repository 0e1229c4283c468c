"""Download a blob from the cloud: bounded in bytes, rate and time, resumed where it stopped.

Nothing that the server says is believed: the length is what the manifest announced, and the bytes
are right when they hash to the digest that was asked for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from edge_agent.errors import ShoalError, Unavailable
from edge_agent.link.answer import BAD_RANGE, place, request_headers
from edge_agent.link.dial import Dialer
from edge_agent.link.pace import Pace
from edge_agent.link.tls import tls_context, wrong_time
from edge_agent.store.blobs import BlobStore, Reservation
from edge_agent.store.clock import Clock

if TYPE_CHECKING:
    from edge_agent.link.line import Patience

STALL_S: Final = 20.0


class Wanted(Struct, frozen=True, kw_only=True):
    """A blob to download.

    Attributes:
        digest: what it must hash to.
        size: exact bytes, or None if only the limit is known (a manifest).
        limit: most bytes that are taken.
    """

    digest: str
    limit: int
    size: int | None = None


class Downloader:
    """Downloads from one cloud. One download at a time on each thread; safe from several.

    Args:
        url: of the cloud's HTTP API.
        clock: of the agent.
        ca_file: certificates to trust instead of the system's; empty for the system's.
        cert_file: this device's certificate; empty for none.
        key_file: its key.
        stall_s: longest wait for the next bytes, seconds.
        bytes_per_s: of all downloads together; 0 for no bound.
        dialer: opens the connections; None for one of its own.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        stall_s: float = STALL_S,
        bytes_per_s: float = 0.0,
        dialer: Dialer | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._ca_file = ca_file
        self._cert_file = cert_file
        self._key_file = key_file
        self._stall_s = stall_s
        self._pace = Pace(bytes_per_s)
        self._dialer = dialer or Dialer()

    def fetch(
        self,
        blobs: BlobStore,
        wanted: Wanted,
        *,
        deadline: float,
        is_superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        """Bring a blob into the store. One attempt; what arrived of it is kept for the next.

        Args:
            blobs: where it goes.
            wanted: which one.
            deadline: when to give this attempt up, seconds, monotonic. Pauses for the sake of
                the rate do not count.
            is_superseded: asked between chunks, and while none come.

        Raises:
            Unavailable: no answer, an answer that is none, too slow; `TryLater` if told so.
            IntegrityError: too many bytes, too few (`truncated`), or other bytes.
            StorageError: the disk refused.
            Superseded: `is_superseded` said so.
        """
        # Imported late: it costs 2 MB, and an agent that has all its files never needs it.
        import httpcore

        from edge_agent.link.line import Patience

        patience = Patience(
            wanted.digest,
            clock=self._clock,
            deadline=deadline,
            stall_s=self._stall_s,
            pace=self._pace,
            is_superseded=is_superseded,
        )
        part = blobs.reserve(wanted.digest, limit=wanted.limit, size=wanted.size)
        try:
            if wanted.size is None or part.received < wanted.size:
                self._receive(wanted, part, patience)
            part.commit()
        except httpcore.TimeoutException as error:
            raise Unavailable(
                f"{self._url} sent nothing for {self._stall_s:g} s",
                hint="check the network between the device and cloud.url",
                code="download_stalled",
            ) from error
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            ValueError,  # an address that is none
        ) as error:
            raise wrong_time(self._url, error) or Unavailable(
                f"download from {self._url} failed: {str(error) or type(error).__name__}",
                hint="check cloud.url, and that the service runs and can be reached",
                code="cloud_unreachable",
            ) from error
        finally:
            part.keep()

    def _receive(self, wanted: Wanted, part: Reservation, patience: "Patience") -> None:
        """Ask for what is missing, and write what comes."""
        import httpcore

        from edge_agent.link.line import Lines

        # Read anew each time, because certificates are renewed; that takes 35 ms.
        context = (
            tls_context(
                self._url, ca_file=self._ca_file, cert_file=self._cert_file, key_file=self._key_file
            )
            if self._url.lower().startswith("https:")
            else None
        )
        with (
            httpcore.ConnectionPool(
                ssl_context=context,
                max_connections=1,
                network_backend=Lines(self._dialer, patience),
            ) as pool,
            pool.stream(
                "GET",
                f"{self._url}/v1/blobs/{wanted.digest}",
                headers=list(request_headers(self._url, wanted.digest, part.received).items()),
            ) as response,
        ):
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers
            }
            self._begin(response.status, headers, wanted, part)
            for chunk in response.iter_stream():
                part.write(chunk)

    def _begin(
        self, status: int, headers: dict[str, str], wanted: Wanted, part: Reservation
    ) -> None:
        """Refuse every answer that cannot become the rest of the blob; rewind where needed."""
        try:
            body = place(
                status, headers, url=self._url, digest=wanted.digest, received=part.received
            )
        except ShoalError as error:
            if error.code == BAD_RANGE:
                part.restart()
            raise
        if body.start == 0:
            part.restart()
        if body.total is not None:
            part.expect(body.total)
