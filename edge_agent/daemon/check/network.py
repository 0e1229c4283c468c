"""Checks of the network: names, the cloud, the brokers, and the certificates that they show.

Connects and leaves; every wait is bounded. What it finds only warns: a device works without any.
"""

import ssl
import time
import uuid
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from edge_agent.config import Settings
from edge_agent.daemon.check.certificates import judge
from edge_agent.daemon.check.finding import Finding, attempt
from edge_agent.daemon.links import control_link, data_link
from edge_agent.errors import ConfigError
from edge_agent.link.broker import BrokerLink
from edge_agent.link.dial import Dialer
from edge_agent.link.probe import visit
from edge_agent.link.reach import reach_cloud
from edge_agent.link.tls import tls_context
from edge_agent.store.clock import ClockState

LOOK_UP_S: Final = 5.0
HANDSHAKE_S: Final = 5.0
_HTTPS_PORT: Final = 443


def check_network(settings: Settings, clock: ClockState, dialer: Dialer) -> Iterator[Finding]:
    """Look at everything that the device reaches over a network.

    Args:
        settings: of the device.
        clock: as it is now.
        dialer: looks names up and opens connections.
    """
    cloud, device = settings.cloud, settings.agent.device
    control = control_link(settings)
    links = {"cloud broker": control}
    if not settings.shares_cloud_broker:
        links["data broker"] = data_link(settings)
    parts = urlsplit(cloud.url)
    hosts = [parts.hostname or "", *(link.host for link in links.values())]
    for host in dict.fromkeys(hosts):
        yield check_name(host, dialer)
    yield attempt("cloud", "warn", lambda: _cloud(settings))
    if parts.scheme == "https":
        link = BrokerLink(
            url=f"mqtts://{parts.netloc.rpartition('@')[2]}",
            ca_file=cloud.ca_file,
            cert_file=cloud.cert_file,
            key_file=cloud.key_file,
        )
        port = parts.port or _HTTPS_PORT
        yield from _server_certificate("cloud TLS", link, port, clock, dialer)
    for name, link in links.items():
        yield attempt(name, "warn", lambda link=link: _broker(link, device, dialer))  # type: ignore[misc]  # bound now
        if link.is_encrypted:
            yield from _server_certificate(f"{name} TLS", link, link.port, clock, dialer)


def check_name(host: str, dialer: Dialer) -> Finding:
    """Ask for the addresses of a name.

    Args:
        host: the name; an address is nobody's to ask for.
        dialer: looks it up.
    """
    began = time.monotonic()
    try:
        found = dialer.look_up(host, 0, timeout_s=LOOK_UP_S)
    except OSError as error:
        return Finding(
            name="DNS",
            state="warn",
            text=f"{host}: {error.strerror or error}",
            hint="check the name in agent.toml, the network, and the name servers "
            "(/etc/resolv.conf, resolvectl status)",
        )
    addresses = list(dict.fromkeys(str(place[0]) for _, place in found))
    if addresses == [host]:
        return Finding(name="DNS", state="ok", text=f"{host} is an address, no name is asked for")
    took_ms = (time.monotonic() - began) * 1000
    return Finding(
        name="DNS", state="ok", text=f"{host} is {', '.join(addresses)} ({took_ms:.0f} ms)"
    )


def _cloud(settings: Settings) -> str:
    cloud = settings.cloud
    answer = reach_cloud(
        cloud.url, ca_file=cloud.ca_file, cert_file=cloud.cert_file, key_file=cloud.key_file
    )
    return f"{cloud.url}: {answer}"


def _broker(link: BrokerLink, device: str, dialer: Dialer) -> str:
    # An id of its own: with the device's, it would throw the running agent out.
    visit(link, f"{device}-check-{uuid.uuid4().hex[:8]}", dialer=dialer)
    return f"{link.shown} takes connections"


def _server_certificate(
    name: str, link: BrokerLink, port: int, clock: ClockState, dialer: Dialer
) -> Iterator[Finding]:
    """How long a server's certificate still holds. Where it is refused, the check before told."""
    try:
        tls = tls_context(
            link.shown, ca_file=link.ca_file, cert_file=link.cert_file, key_file=link.key_file
        )
        with dialer.connect(link.host, port, timeout_s=HANDSHAKE_S, tls=tls) as connection:
            shown = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    except (OSError, ConfigError):
        return
    if not shown:
        return
    dates = [ssl.cert_time_to_seconds(str(shown[key])) for key in ("notBefore", "notAfter")]
    yield judge(name, f"that of {link.host}:{port}", dates[0], dates[1], clock)
