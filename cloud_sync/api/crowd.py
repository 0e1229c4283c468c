"""How many files are sent at a time, and when to come again for whoever finds no place.

A queue without an end would only move the wait to where nobody sees it: each of too many downloads
would crawl until its device gave it up. Who is turned away costs nothing.
"""

import math
import random
import time
from collections.abc import Callable
from typing import Final

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from cloud_sync.resources import Problem

PATH: Final = "/v1/blobs/"
LONGEST_S: Final = 60.0
_FORGET_S: Final = 10.0
_FIRST_GUESS_S: Final = 1.0
_NEW_SHARE: Final = 0.1


def retry_after_s(turned_away: float, places: int, served_s: float, chance: float) -> int:
    """When somebody who found no place may come again.

    Args:
        turned_away: how many were, lately.
        places: that there are.
        served_s: how long one is taken, on average, seconds.
        chance: a random number from 0 to 1, so that they do not come back together.

    Returns:
        Whole seconds, from 1 to 61: within about as long as it takes to serve them all.
    """
    window_s = min(LONGEST_S, max(1.0, served_s * (1.0 + turned_away / places)))
    return 1 + math.floor(chance * window_s)


class Crowd:
    """Who is being served. Belongs to the event loop.

    Args:
        places: how many are served at a time.
        now: seconds, monotonic.
        chance: random numbers from 0 to 1.
    """

    def __init__(
        self,
        places: int,
        *,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._places = places
        self._now = now
        self._chance = chance
        self._served_s = _FIRST_GUESS_S
        self._turned_away = 0.0
        self._turned_away_at = now()
        self.busy = 0
        """Places that are taken."""

    def enter(self) -> bool:
        """Take a place; false if there is none."""
        if self.busy >= self._places:
            return False
        self.busy += 1
        return True

    def leave(self, took_s: float) -> None:
        """Give a place back.

        Args:
            took_s: how long it was taken, seconds.
        """
        self.busy -= 1
        self._served_s += _NEW_SHARE * (took_s - self._served_s)

    def turn_away(self) -> int:
        """Seconds after which to come again."""
        now = self._now()
        self._turned_away *= 0.5 ** ((now - self._turned_away_at) / _FORGET_S)
        self._turned_away += 1.0
        self._turned_away_at = now
        return retry_after_s(self._turned_away, self._places, self._served_s, self._chance())


class DownloadGate:
    """Middleware: lets no more downloads of files in than there are places.

    Args:
        app: what is behind it.
        crowd: that is let in.
    """

    def __init__(self, app: ASGIApp, crowd: Crowd) -> None:
        self._app = app
        self._crowd = crowd

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if (
            scope["type"] != ScopeType.HTTP
            or scope["method"] != "GET"
            or not scope["path"].startswith(PATH)
        ):
            await self._app(scope, receive, send)
        elif not self._crowd.enter():
            await _refuse(send, self._crowd.turn_away())
        else:
            began = time.monotonic()
            try:
                await self._app(scope, receive, send)
            finally:
                self._crowd.leave(time.monotonic() - began)


async def _refuse(send: Send, after_s: int) -> None:
    problem = Problem(
        code="server_busy",
        text="as many files are being sent as may be at a time",
        hint=f"ask again in {after_s} s",
    )
    body = msgspec.json.encode(problem)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(after_s).encode()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
