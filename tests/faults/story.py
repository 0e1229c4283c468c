"""The story that is walked: everything that a device goes through, in chapters.

Each chapter is a run of the agent, or several, and begins where the one before it ended. Together
they carry out every step and every transition; a test says so by name if one is left out.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from edge_agent.contract.names import digest_of
from edge_agent.contract.state import Phase, SlotConfig, WantedSlot
from edge_agent.errors import StorageError
from edge_agent.reconcile.steps import TryAgain
from edge_agent.store.outbox_policy import Priority
from edge_agent.store.outbox_row import OutboxItem
from tests.faults.device import LONGEST_LOCK_S, Device
from tests.faults.stand_in import StandInWorkers

ELSEWHERE: Final = SlotConfig(output_topic="results/{1}/elsewhere")
BYTES: Final = b"at hand, and needed by nobody"
MISSING: Final = "sha256:" + "0" * 64
"""A module that no cloud has."""


class Modules(Struct, frozen=True, kw_only=True):
    """Digests of the modules of the story, as they were published.

    Attributes:
        first: the slot's first version.
        second: its second, with a file whose download breaks off unless the rest is asked for.
        crashing: one that passes its golden cases and crashes on live messages.
        unproved: one whose golden cases fail.
        other: another module, which shares a file with the first version.
        damaged: not of a module, but of a file of the second version.
    """

    first: str
    second: str
    crashing: str
    unproved: str
    other: str
    damaged: str

    def workers(self) -> StandInWorkers:
        """Workers that know which of them are bad."""
        return StandInWorkers(bad={self.crashing}, unproved={self.unproved})


Chapter = Callable[[Device, Modules], None]


def _probe(version: int, digest: str, config: SlotConfig = SlotConfig()) -> WantedSlot:  # noqa: B008
    return WantedSlot(module="probe", version=version, digest=digest, config=config)


def _other(modules: Modules) -> WantedSlot:
    return WantedSlot(module="other", version=1, digest=modules.other)


def _second(modules: Modules) -> dict[str, WantedSlot]:
    """What most chapters begin with and go back to."""
    return {"probe": _probe(2, modules.second, ELSEWHERE), "other": _other(modules)}


def _event(number: int) -> OutboxItem:
    data = b'{"event":%d}' % number
    return OutboxItem(kind="event", time=1.0, data=data, priority=Priority.ALARM)


def _result(number: int, *, padding: int = 0) -> OutboxItem:
    data = b'{"result":%d,"padding":"%s"}' % (number, b"x" * padding)
    return OutboxItem(kind="result", time=1.0, slot="probe", data=data)


def _control(number: int, *, padding: int) -> OutboxItem:
    data = b'{"control":%d,"padding":"%s"}' % (number, b"x" * padding)
    return OutboxItem(kind="event", time=1.0, data=data, priority=Priority.CONTROL)


def _report(number: int) -> OutboxItem:
    return OutboxItem(kind="reported", time=1.0, data=b'{"report":%d}' % number)


def installs_the_first_version(device: Device, modules: Modules) -> None:
    """An empty disk becomes a device that runs a module."""
    device.boot()
    device.put(_event(1))
    device.want({"probe": _probe(1, modules.first)})
    device.settle()
    assert device.record("probe").phase is Phase.ACTIVE
    device.put(_report(1), _result(1))
    device.stop()


def updates_and_is_restarted_on_trial(device: Device, modules: Modules) -> None:
    """A second version comes in two pieces; the agent is restarted while it is on trial."""
    device.boot()
    device.workers.is_loading = True
    device.want({"probe": _probe(2, modules.second), "other": _other(modules)})
    device.settle(lambda: device.record("probe").candidate is not None)
    device.restart()
    device.settle()
    assert device.record("probe").phase is Phase.ACTIVE
    assert device.record("other").phase is Phase.ACTIVE
    device.stop()


def gets_another_configuration(device: Device, modules: Modules) -> None:
    """The same version with other settings is another one to go back to."""
    device.boot()
    device.want(_second(modules))
    device.settle()
    previous = device.record("probe").previous
    assert previous is not None
    assert previous.config == SlotConfig()
    device.stop()


def is_asked_to_wait(device: Device, modules: Modules) -> None:
    """A program says "not now" to a change, which is taken back before the program is done."""
    device.boot()
    device.locks.take("probe", LONGEST_LOCK_S)
    device.want({**_second(modules), "probe": _probe(2, modules.second)})
    device.be_put_off("probe")
    device.restart()
    device.want(_second(modules))
    device.locks.release("probe")
    device.settle()
    assert device.record("probe").phase is Phase.ACTIVE
    device.stop()


def rolls_a_bad_version_back(device: Device, modules: Modules) -> None:
    """A version that crashes on live messages goes, also when somebody asks for it again."""
    device.boot()
    device.want({**_second(modules), "probe": _probe(3, modules.crashing)})
    device.settle(lambda: device.record("probe").phase is Phase.ROLLED_BACK)
    device.insist(lambda: _succeed(device.apply(TryAgain("probe"))))
    device.settle(lambda: device.record("probe").phase is Phase.ROLLED_BACK)
    device.want(_second(modules))
    device.settle()
    assert device.record("probe").phase is Phase.ACTIVE
    device.stop()


def changes_its_mind_on_trial(device: Device, modules: Modules) -> None:
    """What ran before a trial is wanted again before the trial is over."""
    device.boot()
    device.workers.is_loading = True
    device.want({**_second(modules), "probe": _probe(1, modules.first)})
    device.settle(lambda: device.record("probe").candidate is not None)
    device.want(_second(modules))
    device.settle()
    assert device.record("probe").candidate is None
    device.stop()


def is_interrupted_until_it_goes_back(device: Device, modules: Modules) -> None:
    """An agent that is restarted again and again during a trial blames the version on trial."""
    device.boot()
    device.workers.is_loading = True
    device.want({**_second(modules), "probe": _probe(1, modules.first)})
    device.settle(lambda: device.record("probe").candidate is not None)
    for _ in range(6):
        device.restart()
        device.workers.is_loading = True
        device.settle()
        if device.record("probe").phase is Phase.ROLLED_BACK:
            break
    error = device.record("probe").error
    assert error is not None
    assert error.code == "agent_restarted"
    device.want(_second(modules))
    device.settle()
    device.stop()


def is_asked_for_what_cannot_be(device: Device, modules: Modules) -> None:
    """Versions that fail their proof, are not what they are called, or are nowhere."""
    device.boot()
    slots = _second(modules)
    device.want({**slots, "probe": _probe(4, modules.unproved)})
    device.settle(lambda: device.record("probe").phase is Phase.ROLLED_BACK)
    device.want({**slots, "probe": WantedSlot(module="other", version=5, digest=modules.first)})
    device.settle(lambda: device.record("probe").phase is Phase.REJECTED)
    shadow = WantedSlot(
        module="probe", version=1, digest=modules.first, mode="shadow", shadows="nobody"
    )
    device.want({**slots, "shade": shadow})
    device.settle(lambda: device.record("shade").phase is Phase.REJECTED)
    # A worker whose note in the journal was lost, in a slot whose module cannot be had.
    stray = device.record("other").active
    assert stray is not None
    spec = device.specs.working(device.record("other"), stray)
    device.workers.run("nowhere", stray, spec)
    device.want({**slots, "nowhere": _probe(9, MISSING)})
    for _ in range(3):
        device.round()
    assert "nowhere" not in device.workers.seen()
    device.want(slots)
    device.settle()
    device.stop()


def finds_a_damaged_file(device: Device, modules: Modules) -> None:
    """A file that rots is found when it is loaded, and fetched again."""
    device.boot()
    path = device.blobs.path(modules.damaged)
    device.damage(path)
    device.restart()
    device.settle()
    assert device.blobs.is_intact(modules.damaged)
    device.stop()


def finds_its_journal_damaged(device: Device, modules: Modules) -> None:
    """A journal that rots is set aside, and the device goes on from the copy."""
    device.boot()
    device.stop()
    device.damage(device.journal_file)
    device.boot()
    device.settle()
    device.stop()


def loses_a_slot(device: Device, modules: Modules) -> None:
    """A slot that is not wanted any more goes, and so do the files that nobody needs."""
    device.boot()
    device.want({"probe": _probe(2, modules.second, ELSEWHERE)})
    device.settle()
    assert "other" not in device.journal.slots()
    device.stop()


def fills_its_outbox(device: Device, modules: Modules) -> None:
    """Rows wait over a restart, make room for better ones, and are freed by the cloud."""
    device.boot()
    device.put(*map(_event, range(10, 14)), _report(2))
    device.outbox.lose(Priority.ALARM, "memory", 3)
    device.put(*map(_result, range(10, 16)))
    device.tidy()
    device.connect()
    device.deliver(4)
    device.tidy()
    device.restart()
    device.put(_event(20), _report(3))
    for number in range(3):
        device.put(_control(30 + number, padding=40_000))
    device.put(_result(40, padding=200_000))
    device.connect()
    for _ in range(5):
        device.deliver()
        device.tidy()
    assert device.outbox.size.rows == 0
    assert device.outbox.size.dropped > 3
    device.stop()


def keeps_small_things(device: Device, modules: Modules) -> None:
    """A number, the time that has certainly passed, bytes that are at hand; and leftovers go."""
    device.boot()
    device.stop()
    device.litter()
    device.boot()
    device.during = "count"
    device.insist(lambda: device.journal.set_counter("walked", 1))
    device.during = "clock"
    device.floor.keep()
    device.during = "bytes"
    device.insist(lambda: device.blobs.put(digest_of(BYTES), BYTES))
    device.restart()
    device.stop()


def _succeed(is_done: bool) -> None:
    if not is_done:
        raise StorageError("the step failed")


CHAPTERS: Final[tuple[Chapter, ...]] = (
    installs_the_first_version,
    updates_and_is_restarted_on_trial,
    gets_another_configuration,
    is_asked_to_wait,
    rolls_a_bad_version_back,
    changes_its_mind_on_trial,
    is_interrupted_until_it_goes_back,
    is_asked_for_what_cannot_be,
    finds_a_damaged_file,
    finds_its_journal_damaged,
    loses_a_slot,
    fills_its_outbox,
    keeps_small_things,
)
