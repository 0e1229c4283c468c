"""Being known: birth, last will and goodbye of this agent, and stepping back from a double.

Callbacks come on the link's thread, `tick` on the main thread; a check for the double runs on a
thread of its own, because it waits for the broker.
"""

import logging
import random
import socket
import threading
from collections.abc import Callable
from typing import Final

from edge_agent.contract.messages import Event, Status
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import decode, encode
from edge_agent.errors import ContractError, Unavailable
from edge_agent.link.broker import BrokerLink
from edge_agent.link.dial import Dialer
from edge_agent.link.identity import Verdict, judge
from edge_agent.link.probe import read_retained
from edge_agent.link.session import CloudSession, Will
from edge_agent.store.clock import Clock

log: Final = logging.getLogger("edge_agent.daemon")

CHECK_AGAIN_S: Final = 60.0


class Presence:
    """This agent's status on the cloud's broker.

    Args:
        device: its name.
        boot_id: of this run.
        started: when it began, seconds since 1970.
        own_boots: boot ids of earlier runs on this state directory.
        link: the cloud's broker.
        dialer: opens connections to it.
        clock: for intervals, and the times of messages.
        on_event: told what a person may ask about later.
        on_conflict: told when this agent steps back, and when it comes forward again.
    """

    def __init__(
        self,
        device: str,
        boot_id: str,
        *,
        started: float,
        own_boots: frozenset[str],
        link: BrokerLink,
        dialer: Dialer,
        clock: Clock,
        on_event: Callable[[Event], None],
        on_conflict: Callable[[bool], None],
        check_again_s: float = CHECK_AGAIN_S,
    ) -> None:
        self._device = device
        self._boot_id = boot_id
        self._started = started
        self._own_boots = own_boots
        self._link = link
        self._dialer = dialer
        self._clock = clock
        self._on_event = on_event
        self._on_conflict = on_conflict
        self._check_again_s = check_again_s
        self._host = socket.gethostname()
        self._topic = control(device, Channel.STATUS)
        self._has_published = False
        self._known_doubles: set[str] = set()
        self._check_due: float | None = None
        self._checking: threading.Thread | None = None
        self.conflict = ""
        """Why this agent stays off the cloud; empty if it does not."""

    def will(self) -> Will:
        """What the broker says when this agent is gone without a word."""
        return self._status("offline", "connection lost")

    def goodbye(self, reason: str) -> Will:
        """What this agent says when it goes."""
        return self._status("offline", reason)

    def announce(self, session: CloudSession) -> None:
        """Say that this agent is here."""
        birth = self._status("online", "")
        session.publish(birth.topic, birth.payload, retain=True)

    def on_status(self, payload: bytes, session: CloudSession) -> None:
        """A status came on this device's own topic: an echo, or a double's."""
        try:
            status = decode(Status, payload)
        except ContractError as error:
            log.warning("event=status_ignored code=%s text=%r", error.code, error.text)
            return
        if status.boot_id == self._boot_id:
            self._has_published = True
            return
        verdict = judge(
            status,
            boot_id=self._boot_id,
            started=self._started,
            is_synced=self._clock.is_synced(),
            own_boots=self._own_boots,
            has_published=self._has_published,
        )
        if verdict is Verdict.WE_YIELD:
            self._step_back(status, session)
        elif verdict is Verdict.DOUBLE_YIELDS:
            self._stand(status, session)

    def tick(self, now: float, session: CloudSession) -> None:
        """Look whether the double is gone, when it is time.

        Args:
            now: seconds, monotonic.
            session: held while there is a double.
        """
        if self._check_due is None or now < self._check_due:
            return
        self._check_due = None
        self._checking = threading.Thread(
            target=self._check, args=(session,), name="double-check", daemon=True
        )
        self._checking.start()

    def _stand(self, double: Status, session: CloudSession) -> None:
        if double.boot_id not in self._known_doubles:
            self._known_doubles.add(double.boot_id)
            self._on_event(self._conflict_event(double, "it started later and has to step back"))
        self.announce(session)

    def _step_back(self, double: Status, session: CloudSession) -> None:
        event = self._conflict_event(double, "it was here first, so this agent stays off the cloud")
        self.conflict = event.text
        session.hold(True)
        self._plan_check()
        self._on_event(event)
        self._on_conflict(True)

    def _plan_check(self) -> None:
        jitter = 1.0 + random.random() / 2  # noqa: S311  # jitter, no secret
        self._check_due = self._clock.monotonic() + self._check_again_s * jitter

    def _check(self, session: CloudSession) -> None:
        try:
            found = read_retained(
                self._link,
                f"{self._device}-{self._boot_id[:8]}",
                self._topic,
                dialer=self._dialer,
            )
            status = decode(Status, found) if found else None
        except (Unavailable, ContractError) as error:
            log.warning("event=double_check_failed code=%s text=%r", error.code, error.text)
            self._plan_check()
            return
        is_alive = (
            status is not None
            and status.state == "online"
            and status.boot_id not in {self._boot_id, *self._own_boots}
        )
        if is_alive:
            self._plan_check()
            return
        self.conflict = ""
        # What it published before proves nothing any more: begin like a fresh agent.
        self._has_published = False
        log.info("event=identity_free device=%s", self._device)
        self._on_conflict(False)
        session.hold(False)

    def _conflict_event(self, double: Status, what: str) -> Event:
        return Event(
            name="identity_conflict",
            level="error",
            text=f"another agent runs as device {self._device!r}, on host "
            f"{double.host or 'unknown'!r}: {what}; give each device its own agent.device",
            detail={"host": double.host, "boot_id": double.boot_id},
        )

    def _status(self, state: str, reason: str) -> Will:
        now = self._clock.moment()
        status = Status(
            device=self._device,
            state="online" if state == "online" else "offline",
            boot_id=self._boot_id,
            started=self._started,
            time=now.time,
            host=self._host,
            reason=reason,
            uptime_s=round(now.uptime_s, 3),
            clock_synced=now.clock_synced,
        )
        return Will(topic=self._topic, payload=encode(status))
