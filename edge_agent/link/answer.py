"""What the cloud's answer to a request for a blob means: where its bytes go, or why there are none.

Pure. Nothing that the answer says is believed further than it can be checked: bytes are right when
they hash to the digest that was asked for.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from edge_agent.errors import Unavailable

LONGEST_RETRY_AFTER_S: Final = 3600.0
BAD_RANGE: Final = "bad_range"
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class TryLater(Unavailable):
    """The server asked to be left alone for a while.

    Attributes:
        after_s: how long, seconds.
    """

    default_code = "server_busy"

    def __init__(self, text: str, *, after_s: float, hint: str = "") -> None:
        super().__init__(text, hint=hint)
        self.after_s = after_s


class Body(Struct, frozen=True):
    """Where the bytes of an answer belong.

    Attributes:
        start: index of the first of them in the blob.
        total: length that the blob would have, if the answer says one.
    """

    start: int
    total: int | None = None


def request_headers(url: str, digest: str, received: int) -> dict[str, str]:
    """Ask for a blob, or for the rest of one.

    Args:
        url: of the cloud.
        digest: of the blob.
        received: bytes that are here already.
    """
    # Compressed transfers would be counted and hashed in another form than announced.
    headers = {
        # As it stands in the address, with the brackets of IPv6.
        "host": urlsplit(url).netloc.rpartition("@")[2],
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": "shoal-edge-agent",
    }
    if received:
        headers["range"] = f"bytes={received}-"
        headers["if-range"] = f'"{digest}"'
    return headers


def place(status: int, headers: Mapping[str, str], *, url: str, digest: str, received: int) -> Body:
    """Where the body of an answer belongs.

    Args:
        status: of HTTP.
        headers: by lower-case name.
        url: of the cloud, for errors.
        digest: that was asked for.
        received: bytes that are here already, so that the rest was asked for.

    Raises:
        Unavailable: the answer has nothing of the blob; `bad_range` if what is here does not fit
            what is there and has to be dropped.
        TryLater: the cloud is busy.
    """
    if status == 206 and received:
        return _rest(headers.get("content-range", ""), url, digest, received)
    if status == 200:
        length = headers.get("content-length", "")
        return Body(0, int(length) if length.isdecimal() and len(length) <= 18 else None)
    if status == 416:
        raise Unavailable(
            f"{url} has no byte {received} of {digest}: it is not what was begun with",
            hint="it is fetched again from the start by itself",
            code=BAD_RANGE,
        )
    if status in (429, 503):
        raise TryLater(
            f"{url} is busy (status {status})",
            hint="it is asked again by itself, when it said",
            after_s=retry_after_s(headers.get("retry-after", ""), headers.get("date", "")),
        )
    is_missing = status == 404
    raise Unavailable(
        f"{url} answered status {status} for blob {digest}",
        hint="publish the module again" if is_missing else "check cloud.url and the service's log",
        code="blob_missing" if is_missing else "cloud_refused",
    )


def _rest(content_range: str, url: str, digest: str, received: int) -> Body:
    found = _RANGE.fullmatch(content_range.strip())
    if found is None or int(found[1]) != received or int(found[2]) < received:
        raise Unavailable(
            f"{url} expected to send {digest} from byte {received}, found "
            f"{content_range or 'no Content-Range'!r:.100}",
            hint="it is fetched again from the start by itself; look for a proxy on the way",
            code=BAD_RANGE,
        )
    return Body(received, None if found[3] == "*" else int(found[3]))


def retry_after_s(value: str, date: str) -> float:
    """Seconds of a Retry-After header.

    A date is compared with the server's own `Date`, never with the clock of this device, which may
    be anywhere.

    Args:
        value: of Retry-After: seconds, or a date.
        date: of the answer's Date header.

    Returns:
        Seconds, at most an hour; 0 for what makes no sense.
    """
    if value.isascii() and value.isdecimal():
        return float(min(int(value[:18]), LONGEST_RETRY_AFTER_S))
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(date)
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
    return min(max(0.0, wait.total_seconds()), LONGEST_RETRY_AFTER_S)
