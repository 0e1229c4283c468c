"""The reconcile loop: each slot's record is changed by one thread, towards what is wanted now."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.contract.manifest import MAX_MANIFEST_BYTES
from edge_agent.contract.state import DesiredState, Phase, WantedSlot
from edge_agent.contract.wire import encode
from edge_agent.daemon.reconciler import Reconciler
from edge_agent.daemon.supervisor import Supervisor
from edge_agent.errors import Conflict, NotFound, Unavailable
from edge_agent.link.download import Downloader, Wanted
from edge_agent.reconcile.apply import Applier
from edge_agent.reconcile.plan import SlotSeen, wanted_version
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.runtime.launcher import Launcher
from edge_agent.runtime.protocol import BrokerAddress
from edge_agent.store.blobs import BlobStore
from edge_agent.store.journal import Journal
from edge_agent.store.locks import Locks
from edge_agent.store.slots import SlotRecord
from tests.support.models import BuiltModule, build_module
from tests.support.real_clock import RealClock
from tests.support.waiting import wait_for


class SlowDownloader(Downloader):
    """Brings the manifest once it may, and nothing else."""

    def __init__(self, built: BuiltModule) -> None:
        super().__init__("http://127.0.0.1:1", clock=RealClock())
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self._built = built

    def fetch(
        self,
        blobs: BlobStore,
        wanted: Wanted,
        *,
        deadline: float,
        is_superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        self.asked.set()
        assert self.may_answer.wait(10)
        if wanted.digest != self._built.digest:
            raise Unavailable("that is all there is")
        data = self._built.manifest_file.read_bytes()
        assert len(data) <= MAX_MANIFEST_BYTES
        blobs.put(wanted.digest, data)


class WatchedApplier(Applier):
    """Tells when it is about to look."""

    before_observing: Callable[[], None] = staticmethod(lambda: None)

    def observe(self) -> dict[str, SlotSeen]:
        self.before_observing()
        return super().observe()


class World:
    """All that the loop works with, and every change that it made."""

    def __init__(self, folder: Path) -> None:
        self.built = build_module(folder / "v1")
        self.journal = Journal(folder)
        self.downloader = SlowDownloader(self.built)
        self.changes: list[tuple[SlotRecord, SlotRecord]] = []
        self.launcher = Launcher()
        self._folder = folder

    def wanted(self, version: int = 1) -> WantedSlot:
        return WantedSlot(module="probe", version=version, digest=self.built.digest)

    def want(self, revision: int, version: int = 1) -> DesiredState:
        slots = {"probe": self.wanted(version)}
        return DesiredState(device="line-1", revision=revision, slots=slots)

    def start(self) -> None:
        blobs = BlobStore(self._folder)
        supervisor = Supervisor(
            launcher=self.launcher,
            clock=RealClock(),
            on_change=lambda *_: None,
            on_uplink=lambda *_: None,
        )
        specs = WorkerSpecs(
            "line-1",
            BrokerAddress(url=""),
            is_shared=False,
            blobs=blobs,
            run_folder=self._folder / "run",
        )
        self.applier = WatchedApplier(
            journal=self.journal,
            blobs=blobs,
            downloader=self.downloader,
            workers=supervisor,
            specs=specs,
            clock=RealClock(),
            on_change=lambda _slot, before, after: self.changes.append((before, after)),
            forget_session=lambda _client_id: None,
        )
        self.locks = Locks(self._folder, RealClock(), 3600.0)
        self.reconciler = Reconciler(
            "line-1",
            journal=self.journal,
            applier=self.applier,
            supervisor=supervisor,
            clock=RealClock(),
            on_desired=lambda _desired: None,
            locks=self.locks,
        )

    def reached(self, phase: Phase) -> bool:
        return any(after.phase is phase for _, after in list(self.changes))

    def stop(self) -> None:
        self.downloader.may_answer.set()
        self.reconciler.stop()
        wait_for(lambda: not self.reconciler.busy)
        self.launcher.close()
        self.journal.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.stop()


def test_a_retry_that_is_asked_for_during_an_attempt_overwrites_nothing_of_it(
    world: World,
) -> None:
    target = wanted_version(world.wanted())
    failed = SlotRecord(slot="probe", phase=Phase.FAILED, target=target, attempts=3)
    world.journal.put_slot(failed)
    world.journal.accept_desired(world.want(1))
    world.start()
    world.reconciler.start()
    assert world.downloader.asked.wait(10)
    world.reconciler.retry("probe")
    world.downloader.may_answer.set()
    wait_for(lambda: world.journal.slot("probe").attempts == 1, 10)
    changes = list(world.changes)
    assert [before for before, _ in changes[1:]] == [after for _, after in changes[:-1]]


def test_a_thread_that_is_held_while_it_works_on_a_slot_shows_since_when(world: World) -> None:
    world.journal.accept_desired(world.want(1))
    world.start()
    assert world.reconciler.working() == {}
    world.reconciler.start()
    assert world.downloader.asked.wait(10)
    held = world.reconciler.working()
    assert list(held) == ["probe"]
    wait_for(lambda: world.reconciler.progress > held["probe"], 10)
    assert world.reconciler.working() == held, "the loop goes on, the slot's thread does not"
    world.downloader.may_answer.set()
    wait_for(lambda: not world.reconciler.working(), 10)


def test_a_retry_of_an_unknown_slot_is_refused(world: World) -> None:
    world.start()
    with pytest.raises(NotFound):
        world.reconciler.retry("none")


def test_a_retry_of_a_slot_in_which_nothing_failed_is_refused_and_says_so(world: World) -> None:
    active = SlotRecord(slot="probe", phase=Phase.ACTIVE, target=wanted_version(world.wanted()))
    world.journal.put_slot(active)
    world.start()
    with pytest.raises(Conflict, match="nothing has failed") as refused:
        world.reconciler.retry("probe")
    assert refused.value.code == "nothing_failed"
    assert "restart" in refused.value.hint
    assert world.journal.slot("probe") == active


def test_a_wish_that_comes_while_the_slots_are_looked_at_voids_the_plan(world: World) -> None:
    world.journal.accept_desired(world.want(1))
    world.start()
    newer = iter([world.want(2, version=2)])

    def accept_newer() -> None:
        for desired in newer:
            world.reconciler.accept(encode(desired))

    world.applier.before_observing = accept_newer
    world.reconciler.start()
    assert world.downloader.asked.wait(10)
    assert {after.target.version for _, after in world.changes if after.target} == {2}


def test_a_lock_stops_an_update_that_is_under_way_and_it_goes_on_afterwards(world: World) -> None:
    world.journal.accept_desired(world.want(1))
    world.start()
    world.reconciler.start()
    assert world.downloader.asked.wait(10)
    world.locks.take("probe", 600)
    world.downloader.may_answer.set()
    wait_for(lambda: world.journal.slot("probe").is_put_off)
    wait_for(lambda: not world.reconciler.busy)
    record = world.journal.slot("probe")
    assert record.phase is Phase.FETCHING
    assert record.serving is None
    assert record.attempts == 0
    world.locks.release("probe")
    world.reconciler.wake()
    wait_for(lambda: world.reached(Phase.FAILED))  # there is no more than the manifest
    assert not world.journal.slot("probe").is_put_off


def test_whoever_wants_an_update_may_allow_no_lock_to_put_it_off(world: World) -> None:
    wanted = replace(world.wanted(), lock_max_s=0)
    desired = DesiredState(device="line-1", revision=1, slots={"probe": wanted})
    world.journal.accept_desired(desired)
    world.start()
    world.locks.take("probe", 600)
    world.downloader.may_answer.set()
    world.reconciler.start()
    wait_for(lambda: world.reached(Phase.FAILED))
    assert not any(after.is_put_off for _, after in world.changes)
