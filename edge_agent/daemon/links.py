"""What a device connects to, listens on and keeps for the cloud, from its settings. Pure."""

from pathlib import PurePath

from edge_agent.config import Settings
from edge_agent.contract.address import parse_address
from edge_agent.contract.state import DesiredState
from edge_agent.daemon.http.limits import Limits
from edge_agent.daemon.http.protocol import ServerSpec
from edge_agent.link.broker import BrokerLink
from edge_agent.link.dial import Dialer
from edge_agent.link.download import Downloader
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.clock import Clock
from edge_agent.store.outbox_policy import OutboxLimits


def control_link(settings: Settings) -> BrokerLink:
    """The cloud's broker."""
    cloud = settings.cloud
    return BrokerLink(
        url=cloud.broker,
        ca_file=cloud.ca_file,
        cert_file=cloud.cert_file,
        key_file=cloud.key_file,
        keepalive_s=cloud.keepalive_s,
    )


def data_link(settings: Settings) -> BrokerLink:
    """The broker of the data topics: the cloud's, if the settings name no other."""
    if settings.shares_cloud_broker:
        return control_link(settings)
    data = settings.data
    return BrokerLink(
        url=data.broker, ca_file=data.ca_file, cert_file=data.cert_file, key_file=data.key_file
    )


def data_address(settings: Settings) -> BrokerAddress:
    """The same broker, as workers are told it."""
    link = data_link(settings)
    return BrokerAddress(
        url=link.url,
        ca_file=link.ca_file,
        cert_file=link.cert_file,
        key_file=link.key_file,
        protocol=settings.data.protocol,
    )


def health_interval_s(settings: Settings, desired: DesiredState | None) -> float:
    """Seconds between two health reports: as the cloud wants it, or else the device's own."""
    asked = desired.settings.health_interval_s if desired is not None else None
    return asked if asked is not None else settings.health.interval_s


def reconnect_spread_s(desired: DesiredState | None) -> float:
    """Over how long this device's fleet spreads its return to a broker, seconds."""
    return desired.settings.reconnect_spread_s if desired is not None else 0.0


def downloader(settings: Settings, clock: Clock, dialer: Dialer) -> Downloader:
    """What fetches files from the cloud."""
    cloud = settings.cloud
    return Downloader(
        cloud.url,
        clock=clock,
        ca_file=cloud.ca_file,
        cert_file=cloud.cert_file,
        key_file=cloud.key_file,
        dialer=dialer,
        stall_s=cloud.stall_s,
        bytes_per_s=cloud.max_download_kb_s * 1024,
    )


def http_server(settings: Settings, run_folder: str, version: str) -> ServerSpec | None:
    """The local HTTP server; None if the settings want none.

    Args:
        settings: of the device.
        run_folder: the folder of the workers' sockets, in the state folder.
        version: of the agent.
    """
    http = settings.http
    if not http.listen:
        return None
    address = parse_address(http.listen)
    state_dir = PurePath(settings.agent.state_dir)
    body_bytes = http.max_body_mb * 2**20
    return ServerSpec(
        host=address.host,
        port=address.port,
        state_dir=str(state_dir),
        run_folder=str(state_dir / run_folder),
        version=version,
        limits=Limits(
            max_body_bytes=body_bytes,
            max_held_bytes=4 * body_bytes,
            max_connections=http.max_connections,
            timeout_s=http.timeout_s,
        ),
    )


def outbox_limits(settings: Settings) -> OutboxLimits:
    """What the outbox may take, and how fast it empties."""
    outbox = settings.outbox
    return OutboxLimits(
        max_bytes=outbox.max_mb * 2**20,
        backlog_rows_per_s=outbox.backlog_rows_per_s,
        flush_s=outbox.flush_s,
    )
