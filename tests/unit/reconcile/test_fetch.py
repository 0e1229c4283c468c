"""Bringing files: several slots at once, on one device."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.contract.state import Phase
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.link.download import Downloader, Wanted
from edge_agent.reconcile.apply import Applier
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.reconcile.steps import Begin, Fetch
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.blobs import BlobStore
from edge_agent.store.journal import Journal
from edge_agent.store.slots import Installed
from tests.support.models import BuiltModule, build_module
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for


class HeldDownloader(Downloader):
    """Brings any file of a module, in two halves, the second once it may."""

    def __init__(self, built: BuiltModule) -> None:
        super().__init__("http://127.0.0.1:1", clock=RealClock())
        self._files = {built.digest: str(built.manifest_file), **built.blob_files}
        self.asked: list[str] = []
        self.may_end = threading.Event()

    def fetch(
        self,
        blobs: BlobStore,
        wanted: Wanted,
        *,
        deadline: float,
        is_superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        self.asked.append(wanted.digest)
        data = Path(self._files[wanted.digest]).read_bytes()
        part = blobs.reserve(wanted.digest, limit=wanted.limit, size=wanted.size)
        part.restart()
        part.write(data[:10])
        assert self.may_end.wait(10)
        part.write(data[10:])
        part.commit()


class Device:
    """What two slots share; each `bring` is one slot's thread."""

    def __init__(self, folder: Path, built: BuiltModule) -> None:
        self.journal = Journal(folder)
        self.downloader = HeldDownloader(built)
        self.launcher = Launcher()
        self.target = Installed(module="probe", version=1, digest=built.digest)
        blobs = BlobStore(folder)
        address = BrokerAddress(url="")
        run_folder = folder / "run"
        self.applier = Applier(
            journal=self.journal,
            blobs=blobs,
            downloader=self.downloader,
            workers=Supervisor(
                launcher=self.launcher,
                clock=RealClock(),
                on_change=lambda *_: None,
                on_uplink=lambda *_: None,
            ),
            specs=WorkerSpecs(
                "line-1", address, is_shared=False, blobs=blobs, run_folder=run_folder
            ),
            clock=RealClock(),
            on_change=lambda *_: None,
            forget_session=lambda _client_id: None,
        )

    def bring(
        self, slot: str, is_superseded: Callable[[], bool] = lambda: False
    ) -> threading.Thread:
        steps = [Begin(slot, self.target), Fetch(slot, self.target)]
        thread = threading.Thread(target=self.applier.run, args=(steps, is_superseded))
        thread.start()
        return thread

    def phase(self, slot: str) -> Phase:
        return self.journal.slot(slot).phase


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path, build_module(tmp_path / "v1"))
    yield device
    device.downloader.may_end.set()
    device.launcher.close()
    device.journal.close()


def test_two_slots_that_want_the_same_files_fetch_each_once(device: Device) -> None:
    both = [device.bring("first"), device.bring("second")]
    wait_for(lambda: len(device.downloader.asked) > 0, 10)
    wait_for(lambda: device.phase("second") == device.phase("first") == Phase.FETCHING, 10)
    device.downloader.may_end.set()
    for thread in both:
        thread.join(10)
    assert device.phase("first") == device.phase("second") == Phase.VERIFIED
    assert len(device.downloader.asked) == len(set(device.downloader.asked)) == 3


def test_who_waits_for_another_slots_file_leaves_when_it_is_not_wanted_any_more(
    device: Device,
) -> None:
    unwanted = threading.Event()
    first = device.bring("first")
    wait_for(lambda: len(device.downloader.asked) == 1, 10)
    second = device.bring("second", unwanted.is_set)
    wait_for(lambda: device.phase("second") == Phase.FETCHING, 10)
    unwanted.set()
    second.join(10)
    assert not second.is_alive()
    device.downloader.may_end.set()
    first.join(10)
    assert device.phase("first") == Phase.VERIFIED
