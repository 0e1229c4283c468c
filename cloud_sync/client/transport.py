"""One HTTP conversation with the service: bounded in time and bytes, typed both ways.

Every error of httpx and every answer above 299 ends here as one of the error tree. It knows no
resource and no path; those belong to the groups.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from cloud_sync.client.problems import error_from
from cloud_sync.errors import ConfigError, ContractError, Unavailable
from edge_agent.contract.user_info import hide_user

T = TypeVar("T")
Params = Mapping[str, str | int | float | bool | Sequence[str] | None]

MAX_ANSWER_BYTES: Final = 64 * 2**20
MAX_PROBLEM_BYTES: Final = 2**20
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class Transport:
    """A connection pool to one service.

    Args:
        url: of the service, `http://host:port` or `https://...`.
        actor: who asks, for the service's audit log.
        timeout_s: longest time for connecting, for any silence, and for a whole answer that is
            not a file.

    Raises:
        ConfigError: the address is no HTTP address.
    """

    def __init__(self, url: str, *, actor: str, timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self._http = httpx.Client(
            base_url=_checked(self.url),
            headers={"X-Shoal-Actor": header_text(actor), "Accept": "application/json"},
            timeout=timeout_s,
            # A proxy from the environment is for the outside world; it cannot reach our loopback.
            trust_env=httpx.URL(self.url).host not in LOOPBACK,
        )

    def close(self) -> None:
        """Close the connections. Nothing can be asked afterwards."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        params: Params | None = None,
        body: msgspec.Struct | bytes | None = None,
        reason: str = "",
    ) -> T:
        """Ask for something small and decode the answer.

        Args:
            method: of HTTP.
            path: below the service's address, already quoted (see `path_of`).
            answer: type of the answer.
            params: of the query; None values are left out, sequences repeat their key.
            body: a resource, or bytes that are JSON already.
            reason: why, for the service's audit log.

        Raises:
            ShoalError: the service refused, see `error_from`.
            Unavailable: it did not answer, or not in time.
            ContractError: it answered something that this client cannot read.
        """
        headers = {"X-Shoal-Reason": header_text(reason)} if reason else {}
        content: bytes | None = None
        if body is not None:
            content = body if isinstance(body, bytes) else msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        deadline = time.monotonic() + self.timeout_s
        with self.stream(method, path, params=params, headers=headers, content=content) as found:
            data = self._read(found, deadline, MAX_ANSWER_BYTES)
        try:
            return msgspec.json.decode(data, type=answer)
        except msgspec.DecodeError as error:
            raise ContractError(
                f"{self.url} answered {method} {path} with something that this shoal cannot read: "
                f"{error}",
                hint="are shoal and cloud-sync of the same version? see `shoal info`",
                code="answer_unreadable",
            ) from error

    def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        """Get a small file whole.

        Raises:
            ShoalError: as in `ask`; `ContractError` if it is longer than `limit_bytes`.
        """
        deadline = time.monotonic() + self.timeout_s
        with self.stream("GET", path) as found:
            return self._read(found, deadline, limit_bytes)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
    ) -> Iterator[httpx.Response]:
        """Begin a conversation and hand out its answer unread, once its status is below 300.

        Raises:
            ShoalError: as in `ask`. What httpx raises while the answer is read is translated too.
        """
        query = {k: v for k, v in (params or {}).items() if v is not None}
        try:
            with self._http.stream(
                method, path, params=query, headers=dict(headers or {}), content=content
            ) as response:
                if response.status_code >= 300:
                    deadline = time.monotonic() + self.timeout_s
                    data = self._read(response, deadline, MAX_PROBLEM_BYTES)
                    where = response.headers.get("location", "")
                    raise error_from(response.status_code, data, self.url, where)
                yield response
        except httpx.ConnectError as error:
            raise Unavailable(
                f"no answer from {self.url}: {_reason(error)}",
                hint=f"is cloud-sync serve running at {self.url}?",
            ) from error
        except httpx.TimeoutException as error:
            raise Unavailable(
                f"{self.url} did not answer within {self.timeout_s:g} s",
                hint="is it overloaded or far away? a longer timeout may help",
                code="timeout",
            ) from error
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the connection to {self.url} broke: {_reason(error)}",
                hint="try again; if it stays, look at the service's log",
                code="connection_broken",
            ) from error

    def _read(self, response: httpx.Response, deadline: float, limit_bytes: int) -> bytes:
        """The whole body, or an error as soon as it is too long or too late."""
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > limit_bytes:
                raise ContractError(
                    f"{self.url} expected to answer at most {limit_bytes} bytes, found more",
                    code="too_large",
                    hint="ask for less at once, with a smaller limit",
                )
            # httpx bounds each silence and not the whole: a slow drip would last for ever.
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{self.url} did not finish its answer within {self.timeout_s:g} s",
                    hint="is it overloaded or far away? a longer timeout may help",
                    code="timeout",
                )
        return bytes(data)


def path_of(*parts: str | int) -> str:
    """A path below `/v1`, each part quoted, so that a strange name cannot become another path."""
    return "/v1/" + "/".join(quote(str(part), safe=":") for part in parts)


def header_text(text: str) -> str:
    """Text for a header: printable ASCII as it is, everything else percent-encoded UTF-8."""
    return quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")


def _checked(url: str) -> str:
    if "@" in url:
        raise ConfigError(
            f"server address expected no user and no password, found {hide_user(url)!r}",
            hint="take out what stands before the '@' in --server or SHOAL_SERVER: the service "
            "asks for none; a proxy that does must know this machine in another way",
            code="user_in_url",
        )
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(
            f"server address {url!r} is malformed: {error}", hint="write it as http://HOST:PORT"
        ) from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError(
            f"server address expected http://HOST:PORT or https://HOST:PORT, found {url!r}",
            hint="for example http://127.0.0.1:8080",
        )
    return url


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return "connection refused" if "refused" in text.lower() else text
