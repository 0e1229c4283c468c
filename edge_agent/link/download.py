"""Download a blob from the cloud: bounded in bytes and time, resumed where it stopped.

Nothing that the server says is believed: the length is what the manifest announced, and the bytes
are right when they hash to the digest that was asked for.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from edge_agent.errors import Superseded, Unavailable
from edge_agent.link.tls import tls_context
from edge_agent.store.blobs import BlobStore, Reservation
from edge_agent.store.clock import Clock

if TYPE_CHECKING:
    import httpx

STALL_S: Final = 20.0
CONNECT_S: Final = 10.0
LONGEST_RETRY_AFTER_S: Final = 3600.0


class TryLater(Unavailable):
    """The server asked to be left alone for a while.

    Attributes:
        after_s: how long, seconds.
    """

    default_code = "server_busy"

    def __init__(self, text: str, *, after_s: float, hint: str = "") -> None:
        super().__init__(text, hint=hint)
        self.after_s = after_s


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
        clock: that deadlines are told by.
        ca_file: certificates to trust instead of the system's; empty for the system's.
        cert_file: this device's certificate; empty for none.
        key_file: its key.
        stall_s: longest wait for the next bytes, seconds.
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
    ) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._ca_file = ca_file
        self._cert_file = cert_file
        self._key_file = key_file
        self._stall_s = stall_s

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
            deadline: when to give this attempt up, seconds, monotonic.
            is_superseded: asked between chunks.

        Raises:
            Unavailable: no answer, an answer that is none, too slow; `TryLater` if told so.
            IntegrityError: too many bytes, too few (`truncated`), or other bytes.
            StorageError: the disk refused.
            Superseded: `is_superseded` said so.
        """
        # Imported late: it costs 7 MB, and an agent that has all its files never needs it.
        import httpx

        part = blobs.reserve(wanted.digest, limit=wanted.limit, size=wanted.size)
        try:
            if wanted.size is not None and part.received == wanted.size:
                part.commit()
                return
            with (
                self._client() as client,
                client.stream(
                    "GET",
                    f"{self._url}/v1/blobs/{wanted.digest}",
                    headers=_headers(wanted.digest, part.received),
                ) as response,
            ):
                self._check(response, wanted, part)
                for chunk in response.iter_raw():
                    part.write(chunk)
                    if is_superseded():
                        raise Superseded(f"download of {wanted.digest} is not wanted any more")
                    if self._clock.monotonic() > deadline:
                        raise Unavailable(
                            f"download of {wanted.digest} expected to end in time, found "
                            f"{part.received} bytes by the deadline",
                            hint="the connection is slow; it goes on from here by itself",
                            code="download_too_slow",
                        )
            part.commit()
        except httpx.TimeoutException as error:
            raise Unavailable(
                f"{self._url} sent nothing for {self._stall_s:g} s",
                hint="check the network between the device and cloud.url",
                code="download_stalled",
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(
                f"download from {self._url} failed: {str(error) or type(error).__name__}",
                hint="check cloud.url, and that the service runs and can be reached",
                code="cloud_unreachable",
            ) from error
        finally:
            part.keep()

    def _client(self) -> "httpx.Client":
        import httpx

        context = tls_context(
            self._url, ca_file=self._ca_file, cert_file=self._cert_file, key_file=self._key_file
        )
        return httpx.Client(
            timeout=httpx.Timeout(self._stall_s, connect=CONNECT_S), verify=context, trust_env=False
        )

    def _check(self, response: "httpx.Response", wanted: Wanted, part: Reservation) -> None:
        """Refuse every answer that cannot become the rest of the blob; rewind where needed."""
        status = response.status_code
        if status == 206 and part.received:
            if response.headers.get("content-range", "").startswith(f"bytes {part.received}-"):
                return
            part.restart()
            raise Unavailable(
                f"{self._url} sent another part of {wanted.digest} than was asked for",
                code="bad_range",
            )
        if status == 200:
            part.restart()
            length = response.headers.get("content-length", "")
            if length.isdecimal():
                part.expect(int(length))
            return
        if status == 416:
            part.restart()
        if status in (429, 503):
            raise TryLater(
                f"{self._url} is busy (status {status})",
                after_s=_retry_after_s(response.headers.get("retry-after", "")),
            )
        missing = status == 404
        raise Unavailable(
            f"{self._url} answered status {status} for blob {wanted.digest}",
            hint="publish the module again" if missing else "check cloud.url and the service's log",
            code="blob_missing" if missing else "cloud_refused",
        )


def _headers(digest: str, received: int) -> dict[str, str]:
    # Compressed transfers would be counted and hashed in another form than announced.
    headers = {"accept-encoding": "identity"}
    if received:
        headers["range"] = f"bytes={received}-"
        headers["if-range"] = f'"{digest}"'
    return headers


def _retry_after_s(value: str) -> float:
    """Seconds of a Retry-After header; 0 for a date, whose meaning hangs on this device's clock."""
    return min(float(value), LONGEST_RETRY_AFTER_S) if value.isdecimal() else 0.0
