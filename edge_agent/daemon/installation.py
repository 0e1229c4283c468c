"""What installs versions, put together from the settings. Decides nothing, starts nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_agent.config import Settings
from edge_agent.daemon.broker_sessions import BrokerSessions
from edge_agent.daemon.hardware import DeviceHardware
from edge_agent.daemon.links import data_address, data_link, downloader
from edge_agent.link.dial import Dialer
from edge_agent.reconcile.apply import Applier
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.reconcile.workers import Workers
from edge_agent.store.blobs import BlobStore
from edge_agent.store.clock import Clock
from edge_agent.store.disk import DiskWatch
from edge_agent.store.journal import Journal
from edge_agent.store.slots import SlotRecord

RUN_FOLDER: Final = "run"
"""In the state folder: the sockets of workers."""


def applier(
    settings: Settings,
    *,
    journal: Journal,
    workers: Workers,
    clock: Clock,
    dialer: Dialer,
    hardware: DeviceHardware,
    disk: DiskWatch,
    on_change: Callable[[str, SlotRecord, SlotRecord], None],
) -> Applier:
    """Who carries the steps of a plan out on this device.

    Args:
        settings: of the device.
        journal: where every step is noted.
        workers: runs the versions.
        clock: for waits and times.
        dialer: makes connections.
        hardware: what models can run on.
        disk: where the files are.
        on_change: told of every change of a slot's record.
    """
    state_dir = Path(settings.agent.state_dir)
    blobs = BlobStore(state_dir)
    specs = WorkerSpecs(
        settings.agent.device,
        data_address(settings),
        is_shared=settings.shares_cloud_broker,
        blobs=blobs,
        run_folder=state_dir / RUN_FOLDER,
        has_doors=bool(settings.http.listen),
        shadow_cpu_share=settings.shadow.cpu_share,
        hardware=hardware,
    )
    return Applier(
        journal=journal,
        blobs=blobs,
        downloader=downloader(settings, clock, dialer),
        workers=workers,
        specs=specs,
        clock=clock,
        on_change=on_change,
        forget_session=BrokerSessions(data_link(settings), dialer).forget,
        disk=disk,
    )
