"""The checkup: is this device ready to run an agent? Each check says what it found and what to do.

Changes nothing, and runs beside the agent as well as without it. One after the other; each is
bounded, and none stops the others.
"""

from collections.abc import Iterator
from pathlib import Path

from edge_agent.config import Settings
from edge_agent.daemon.check.certificates import check_certificates
from edge_agent.daemon.check.clock import check_clock
from edge_agent.daemon.check.finding import Finding
from edge_agent.daemon.check.hardware import check_hardware
from edge_agent.daemon.check.local_http import check_http
from edge_agent.daemon.check.network import check_network
from edge_agent.daemon.check.storage import check_storage
from edge_agent.daemon.local import ask_status
from edge_agent.daemon.refuge import current_folder
from edge_agent.daemon.status import AgentStatus
from edge_agent.errors import Unavailable
from edge_agent.link.dial import Dialer
from edge_agent.store.clock import SystemClock


def check_up(settings: Settings) -> Iterator[Finding]:
    """Run all checks, one after the other; each takes a few seconds at most."""
    folder = Path(settings.agent.state_dir)
    status, agent = _agent(current_folder(folder))
    yield Finding(name="settings", state="ok", text=f"device {settings.agent.device}")
    yield from check_storage(folder, settings.disk)
    clock = SystemClock(folder).state()
    yield check_clock(clock, status.clock if status else None)
    yield from check_hardware(settings.hardware)
    yield from check_certificates(settings, clock)
    yield from check_network(settings, clock, Dialer())
    yield check_http(settings.http, status.http if status else None)
    yield agent


def _agent(folder: Path) -> tuple[AgentStatus | None, Finding]:
    try:
        status = ask_status(folder)
    except Unavailable as error:
        return None, Finding(name="agent", state="warn", text=error.text, hint=error.hint)
    if status.cloud.conflict:
        return status, Finding(
            name="agent",
            state="fail",
            text=status.cloud.conflict,
            hint="give each device its own agent.device",
        )
    return status, Finding(name="agent", state="ok", text=f"runs as process {status.pid}")
