"""What many devices were told at once waits its turn, which is planned, journalled and given up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.state import AgentSettings, DesiredState, Phase, WantedSlot
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.link.download import Downloader, Wanted
from edge_agent.reconcile.apply import Applier
from edge_agent.reconcile.plan import SlotSeen, plan, wanted_version
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.reconcile.steps import Begin, Fetch, Step
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.blobs import BlobStore
from edge_agent.store.journal import Journal
from edge_agent.store.slots import Installed, SlotRecord
from tests.support.models import BuiltModule, build_module
from tests.support.simulated_clock import SimulatedClock

FOR_EVER_S = 80_000.0
"""A window in which no turn comes within a test, except for one draw in many thousands."""


class NearDownloader(Downloader):
    """Has every file of a module at hand."""

    def __init__(self, built: BuiltModule, clock: SimulatedClock) -> None:
        super().__init__("http://127.0.0.1:1", clock=clock)
        self._files = {built.digest: str(built.manifest_file), **built.blob_files}
        self.asked: list[str] = []

    def fetch(self, blobs: BlobStore, wanted: Wanted, **_options: object) -> None:
        self.asked.append(wanted.digest)
        blobs.put(wanted.digest, Path(self._files[wanted.digest]).read_bytes())


class Device:
    """An applier by simulated time."""

    def __init__(self, folder: Path, built: BuiltModule) -> None:
        self.clock = SimulatedClock()
        self.journal = Journal(folder)
        self.downloader = NearDownloader(built, self.clock)
        self.launcher = Launcher()
        self.blobs = BlobStore(folder)
        self.applier = self.boot(folder)
        self.target = Installed(module="probe", version=1, digest=built.digest)

    def boot(self, folder: Path) -> Applier:
        """A new run of the agent on the same journal."""
        return Applier(
            journal=self.journal,
            blobs=self.blobs,
            downloader=self.downloader,
            workers=Supervisor(
                launcher=self.launcher,
                clock=self.clock,
                on_change=lambda *_: None,
                on_uplink=lambda *_: None,
            ),
            specs=WorkerSpecs(
                "line-1",
                BrokerAddress(url=""),
                is_shared=False,
                blobs=self.blobs,
                run_folder=folder / "run",
            ),
            clock=self.clock,
            on_change=lambda *_: None,
            forget_session=lambda _client_id: None,
        )

    def bring(self, target: Installed, spread_s: float, slot: str = "s") -> None:
        steps: list[Step] = [Begin(slot, target, spread_s), Fetch(slot, target)]
        self.applier.run(steps, lambda: False)

    @property
    def record(self) -> SlotRecord:
        return self.journal.slot("s")

    @property
    def is_due(self) -> bool:
        return self.applier.observe()["s"].is_retry_due


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    one = Device(tmp_path, build_module(tmp_path / "v1"))
    yield one
    one.launcher.close()
    one.journal.close()


def wish(digest: str, spread_s: float) -> DesiredState:
    return DesiredState(
        device="line-1",
        revision=1,
        slots={"s": WantedSlot(module="probe", version=1, digest=digest)},
        settings=AgentSettings(fetch_spread_s=spread_s),
    )


def test_the_window_of_the_desired_state_comes_with_the_first_step():
    digest = "sha256:" + "a" * 64
    (begin, *_) = plan(wish(digest, 20.0), {})["s"]
    assert isinstance(begin, Begin)
    assert begin.spread_s == 20.0
    waiting = SlotRecord(slot="s", phase=Phase.FETCHING, target=begin.target, next_retry=1.0)
    assert plan(wish(digest, 20.0), {"s": SlotSeen(record=waiting, is_retry_due=False)}) == {}
    assert begin.target == wanted_version(wish(digest, 20.0).slots["s"])


def test_a_device_alone_asks_at_once(device: Device):
    device.bring(device.target, 0.0)
    assert device.record.phase is Phase.VERIFIED
    assert device.downloader.asked


def test_one_of_many_asks_nobody_until_its_turn(device: Device):
    device.bring(device.target, FOR_EVER_S)
    waiting = device.record
    assert (waiting.phase, waiting.attempts, waiting.error) == (Phase.FETCHING, 0, None)
    assert waiting.next_retry is not None
    assert 0 <= waiting.next_retry - device.clock.wall() <= FOR_EVER_S
    assert device.downloader.asked == []
    assert not device.is_due
    device.clock.advance(FOR_EVER_S)
    assert device.is_due
    # The turn was taken: nobody waits twice.
    device.bring(device.target, FOR_EVER_S)
    assert device.record.phase is Phase.VERIFIED
    assert device.record.next_retry is None


def test_the_turn_outlives_a_restart_of_the_agent(device: Device, tmp_path: Path):
    device.bring(device.target, FOR_EVER_S)
    device.applier = device.boot(tmp_path)
    device.applier.recover()
    assert not device.is_due


def test_something_else_that_is_wanted_does_not_wait_for_the_turn_of_the_first(device: Device):
    other = Installed(module="probe", version=9, digest="sha256:" + "b" * 64)
    device.bring(other, FOR_EVER_S)
    device.bring(device.target, 0.0)
    assert device.record.phase is Phase.VERIFIED


def test_what_is_here_already_needs_no_turn(device: Device):
    device.bring(device.target, 0.0)
    asked = len(device.downloader.asked)
    other = Installed(module="probe", version=9, digest="sha256:" + "b" * 64)
    again = Installed(module="probe", version=2, digest=device.target.digest)
    # As after a rollback of many devices: the files of the version before are still here.
    record = device.record
    files = record.blobs[device.target.digest]
    assert files
    device.bring(again, FOR_EVER_S)
    assert device.record.phase is Phase.VERIFIED
    assert len(device.downloader.asked) == asked
    # As when a shadow has proved itself, and is to answer.
    device.bring(device.target, FOR_EVER_S, slot="other")
    assert device.journal.slot("other").phase is Phase.VERIFIED
    device.bring(other, FOR_EVER_S)
    assert device.record.next_retry is not None
