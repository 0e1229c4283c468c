"""Collecting a bundle: every part is tried, and what cannot be had is named with its reason.

Works beside a running agent, without one, with a damaged journal and on a full disk. Writes
nothing, and lets nothing out that did not pass `secrets`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from edge_agent.config import Settings
from edge_agent.daemon.bundle.archive import Manifest, Missing, Part, pack
from edge_agent.daemon.bundle.log import from_file, from_journal
from edge_agent.daemon.bundle.secrets import scrub, scrub_value, secrets_of, shown_settings
from edge_agent.daemon.bundle.system import (
    credentials,
    machine_facts,
    packages,
    proc_facts,
    state_files,
)
from edge_agent.daemon.checkup import check_up
from edge_agent.daemon.explain import explain_left, explain_running, stored_slots
from edge_agent.daemon.local import ask_status
from edge_agent.daemon.machine import agent_info
from edge_agent.daemon.status import AgentStatus
from edge_agent.errors import ShoalError, Unavailable
from edge_agent.store.clock import SystemClock
from edge_agent.store.outbox_remains import read_outbox
from edge_agent.store.remains import Remains, read_journal

LOG_LINES: Final = 5_000


class Collection:
    """What was collected of one device.

    Args:
        settings: of the device.
        environment: of this process: what it says of the agent is secret until known better.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._folder = Path(settings.agent.state_dir)
        self._secrets = secrets_of(settings, environment)
        self._variables = sorted(name for name in environment if name.startswith("EDGE_AGENT_"))
        self._clock = SystemClock(self._folder)
        self._parts: list[Part] = []
        self._missing: list[Missing] = []

    def collect(self, *, unit: str, log_file: Path | None, log_lines: int = LOG_LINES) -> None:
        """Try every part, the ones that weigh most first.

        Args:
            unit: of the service manager, whose log it is.
            log_file: a log file instead; None for the service manager's.
            log_lines: most lines of it.
        """
        now = self._clock.wall()
        status = self._status()
        remains = read_journal(self._folder)
        if remains.problem:
            self._lack("journal.db", remains.problem)
        self._add("settings.json", self._settings_in_force)
        self._add("explanations.json", lambda: self._explanations(status, remains, now))
        self._add("journal.json", lambda: remains)
        self._add("outbox.json", lambda: read_outbox(self._folder))
        self._add("clock.json", self._clock.state)
        self._add("machine.json", lambda: machine_facts(now))
        self._add("packages.json", packages)
        self._add("checks.json", lambda: list(check_up(self._settings)))
        pid = status.pid if isinstance(status, AgentStatus) else 0
        self._add("proc.txt", lambda: proc_facts(self._folder, pid))
        self._add("files.json", lambda: list(state_files(self._folder)))
        self._add(
            "agent.log",
            lambda: from_file(log_file, log_lines) if log_file else from_journal(unit, log_lines),
        )

    def pack(self) -> tuple[bytes, Manifest]:
        """The archive, and what is in it."""
        created = self._clock.wall()
        return pack(
            self._parts,
            self._missing,
            device=self._settings.agent.device,
            agent=agent_info(created).version,
            created=created,
        )

    def _status(self) -> AgentStatus | Unavailable:
        try:
            status = ask_status(self._folder)
        except Unavailable as error:
            self._lack("status.json", error.text)
            return error
        self._add("status.json", lambda: status)
        return status

    def _settings_in_force(self) -> object:
        return {
            "settings": shown_settings(self._settings),
            "variables": self._variables,
            "files": credentials(self._settings),
        }

    def _explanations(
        self, status: AgentStatus | Unavailable, remains: Remains, now: float
    ) -> object:
        if isinstance(status, AgentStatus):
            return {slot: explain_running(slot, status) for slot in status.slots}
        device = self._settings.agent.device
        return {
            slot: explain_left(slot, device, remains, status, now)
            for slot in stored_slots(remains.contents)
        }

    def _add(self, name: str, make: Callable[[], object]) -> None:
        try:
            found = make()
        except (ShoalError, OSError) as error:
            self._lack(name, error.text if isinstance(error, ShoalError) else str(error))
            return
        if isinstance(found, str):
            text = scrub(found, self._secrets)
        else:
            plain = msgspec.json.decode(msgspec.json.encode(found))
            shown = scrub_value(plain, self._secrets)
            text = msgspec.json.format(msgspec.json.encode(shown)).decode() + "\n"
        self._parts.append(Part(name, text.encode("utf-8", "replace")))

    def _lack(self, name: str, reason: str) -> None:
        self._missing.append(Missing(name, scrub(reason, self._secrets)))
