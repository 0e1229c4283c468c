"""The checkup: is this device ready to run an agent? Each check says what it found and what to do.

Never changes anything but a probe file in the state directory, which it removes again.
"""

import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from edge_agent.config import HardwareSection, Settings
from edge_agent.contract.address import Address, parse_address
from edge_agent.contract.providers import choose, full_name, parse_options, short_name
from edge_agent.daemon.clock_watch import shown
from edge_agent.daemon.links import control_link, data_link
from edge_agent.daemon.local import ask_status
from edge_agent.errors import ShoalError, Unavailable
from edge_agent.link.broker import BrokerLink
from edge_agent.link.probe import visit
from edge_agent.link.reach import reach_cloud
from edge_agent.runtime.probe import probe
from edge_agent.runtime.provider_probe import probe_providers
from edge_agent.store.clock import SystemClock
from edge_agent.store.files import make_folder, write_atomic

LOW_DISK_MB: Final = 200

State = Literal["ok", "warn", "fail"]


class Finding(Struct, frozen=True, kw_only=True):
    """The outcome of one check."""

    name: str
    state: State
    text: str
    hint: str = ""


def check_up(settings: Settings) -> Iterator[Finding]:
    """Run all checks, one after the other; each takes a few seconds at most."""
    control = control_link(settings)
    folder = Path(settings.agent.state_dir)
    yield Finding(name="settings", state="ok", text=f"device {settings.agent.device}")
    yield _attempt("state directory", "fail", lambda: _writable(folder))
    yield _disk(folder)
    yield _clock(folder)
    yield _attempt("onnxruntime", "fail", _runtime)
    yield from _providers(settings.hardware)
    yield _attempt("cloud", "warn", lambda: _cloud(settings))
    yield _attempt("cloud broker", "warn", lambda: _broker(control, settings.agent.device))
    if not settings.shares_cloud_broker:
        data = data_link(settings)
        yield _attempt("data broker", "warn", lambda: _broker(data, settings.agent.device))
    yield check_http(settings)
    yield _agent(folder)


def _attempt(name: str, if_not: State, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, state="ok", text=check())
    except ShoalError as error:
        return Finding(name=name, state=if_not, text=error.text, hint=error.hint)


def _writable(folder: Path) -> str:
    probe_file = make_folder(folder) / f"probe-{uuid.uuid4().hex}"
    try:
        write_atomic(probe_file, b"probe")
    finally:
        probe_file.unlink(missing_ok=True)
    return f"{folder} is writable"


def _disk(folder: Path) -> Finding:
    try:
        free_mb = shutil.disk_usage(folder).free // 2**20
    except OSError as error:
        return Finding(
            name="disk",
            state="fail",
            text=f"free space of {folder} cannot be read: {error.strerror}",
            hint="check agent.state_dir, and that its disk is mounted",
        )
    is_low = free_mb < LOW_DISK_MB
    return Finding(
        name="disk",
        state="warn" if is_low else "ok",
        text=f"{free_mb} MB free",
        hint="free some space: models are fetched to this disk" if is_low else "",
    )


def _clock(folder: Path) -> Finding:
    state = SystemClock(folder).state()
    if state.is_behind:
        return Finding(
            name="clock",
            state="fail",
            text=f"it shows {shown(state.system)}, and it is at least {shown(state.floor)}",
            hint="set the clock or run an NTP client: until then TLS certificates look as if they "
            "were not valid yet",
        )
    if state.is_synced:
        return Finding(name="clock", state="ok", text="synchronized")
    return Finding(
        name="clock",
        state="warn",
        text=f"not synchronized, as far as the kernel knows; it shows {shown(state.system)}",
        hint="run an NTP client (systemd-timesyncd, chrony): times of results depend on it",
    )


def _runtime() -> str:
    facts = probe()
    return f"onnxruntime {facts.onnxruntime}, numpy {facts.numpy}"


def _providers(hardware: HardwareSection) -> Iterator[Finding]:
    """Tries each anew, whatever the agent knows."""
    try:
        found = probe_providers(parse_options(hardware.options)).providers
    except ShoalError:
        return  # the check of onnxruntime has told
    choice = choose((), hardware.providers, found)
    usable = ", ".join(short_name(name) for name, reason in found.items() if not reason)
    yield Finding(
        name="providers",
        state="warn" if choice.notes else "ok",
        text="; ".join((f"usable: {usable or 'none'}", *choice.notes)),
        hint="install what it needs, or take it out of hardware.providers" if choice.notes else "",
    )
    for name, reason in found.items():
        if reason and full_name(name) not in map(full_name, hardware.providers):
            text = f"{short_name(name)} is offered and cannot be used: {reason}"
            yield Finding(name="providers", state="ok", text=text)


def _cloud(settings: Settings) -> str:
    cloud = settings.cloud
    answer = reach_cloud(
        cloud.url, ca_file=cloud.ca_file, cert_file=cloud.cert_file, key_file=cloud.key_file
    )
    return f"{cloud.url}: {answer}"


def _broker(link: BrokerLink, device: str) -> str:
    # An id of its own: with the device's, it would throw the running agent out.
    visit(link, f"{device}-check-{uuid.uuid4().hex[:8]}")
    return f"{link.shown} takes connections"


def check_http(settings: Settings) -> Finding:
    """Whether local HTTP is asked for, and who serves it: our own agent, nobody yet, a stranger."""
    name, listen = "local HTTP", settings.http.listen
    if not listen:
        return Finding(name=name, state="ok", text="off: [http] listen is not set")
    try:
        served = ask_status(Path(settings.agent.state_dir)).http
    except Unavailable:
        served = None
    if served is not None and served.url:
        return _http_found(listen, f"{served.url}, served by the agent that runs")
    address = parse_address(listen)
    try:
        _try_to_listen(address)
    except OSError as error:
        return Finding(
            name=name,
            state="fail",
            text=f"http://{listen} cannot be served: {os.strerror(error.errno or 0)}",
            hint="end what listens there, or set another [http] listen",
        )
    return _http_found(listen, f"http://{listen} is free for the agent")


def _http_found(listen: str, text: str) -> Finding:
    is_open = not parse_address(listen).is_loopback
    return Finding(
        name="local HTTP",
        state="warn" if is_open else "ok",
        text=f"{text}{'; it is open to other machines' if is_open else ''}",
        hint="whoever reaches it can use every model: let a firewall say who does"
        if is_open
        else "",
    )


def _try_to_listen(address: Address) -> None:
    """Listen for a moment, as the server would.

    Raises:
        OSError: it is not possible.
    """
    family, _, _, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.create_server(place[:2], family=family):
        pass


def _agent(folder: Path) -> Finding:
    try:
        status = ask_status(folder)
    except Unavailable as error:
        return Finding(name="agent", state="warn", text=error.text, hint=error.hint)
    if status.cloud.conflict:
        return Finding(
            name="agent",
            state="fail",
            text=status.cloud.conflict,
            hint="give each device its own agent.device",
        )
    return Finding(name="agent", state="ok", text=f"runs as process {status.pid}")
