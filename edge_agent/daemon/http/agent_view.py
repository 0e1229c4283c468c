"""What the agent says about itself, asked over its local socket, at most once a second."""

import asyncio
import time
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.daemon.http.request import Refused
from edge_agent.daemon.local import CLIENT_S, MAX_ANSWER_BYTES, SOCKET_FILE, Request
from edge_agent.daemon.status import AgentStatus
from edge_agent.runtime.socket_path import short_address

FRESH_S: Final = 1.0


class AgentView:
    """The agent's status.

    Args:
        state_dir: where its socket is.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._lock = asyncio.Lock()
        self._seen: AgentStatus | None = None
        self._seen_at = float("-inf")

    async def status(self, max_age_s: float = FRESH_S) -> AgentStatus:
        """What it said, not longer ago than `max_age_s`, seconds.

        Raises:
            Refused: 503, it does not answer.
        """
        async with self._lock:
            if self._seen is not None and time.monotonic() - self._seen_at <= max_age_s:
                return self._seen
            try:
                async with asyncio.timeout(CLIENT_S):
                    self._seen = await self._ask()
            except (OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
                raise Refused(
                    503,
                    f"the agent does not answer: {str(error) or 'too late'}",
                    hint="see its log; the watchdog restarts an agent that hangs",
                    code="agent_silent",
                    headers=(("retry-after", "1"),),
                ) from error
            self._seen_at = time.monotonic()
            return self._seen

    async def _ask(self) -> AgentStatus:
        with short_address(str(self._state_dir / SOCKET_FILE)) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=MAX_ANSWER_BYTES)
        try:
            writer.write(msgspec.json.encode(Request(ask="status")) + b"\n")
            return msgspec.json.decode(await reader.readline(), type=AgentStatus)
        finally:
            writer.close()
