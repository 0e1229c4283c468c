"""The sessions that workers leave on the data broker, ended when their slot is removed.

Never waits for longer than `FORGET_S`, and a broker that is away is no failure of the removal.
"""

import logging
from typing import Final

from edge_agent.errors import ConfigError, Unavailable
from edge_agent.link.broker import BrokerLink
from edge_agent.link.dial import Dialer
from edge_agent.link.probe import visit

FORGET_S: Final = 3.0

log: Final = logging.getLogger("edge_agent.daemon")


class BrokerSessions:
    """Those of one device.

    Args:
        link: to the broker of the data topics.
        dialer: connects.
    """

    def __init__(self, link: BrokerLink, dialer: Dialer) -> None:
        self._link = link
        self._dialer = dialer

    def forget(self, client_id: str) -> None:
        """The broker would keep a removed slot's session, and queue messages for it, for ever."""
        try:
            visit(self._link, client_id, timeout_s=FORGET_S, dialer=self._dialer)
        except (Unavailable, ConfigError) as error:
            log.warning("event=session_kept client_id=%s text=%r", client_id, error.text)
