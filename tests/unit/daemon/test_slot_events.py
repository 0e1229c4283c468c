"""Events of slots: they say which version they are about, and what it replaces."""

import pytest
from msgspec.structs import replace

from edge_agent.contract.state import Phase, SlotError
from edge_agent.daemon.slot_events import slot_event, worker_event
from edge_agent.runtime.protocol import WorkerBeganEmpty, WorkerConnected, WorkerRival, WorkerSpec
from edge_agent.store.slots import Installed, SlotRecord

OLD = Installed(module="wine", version=3, digest="sha256:" + "a" * 64)
NEW = Installed(module="wine", version=4, digest="sha256:" + "b" * 64)
TRIAL = SlotRecord(slot="wine", phase=Phase.TRIAL, target=NEW, active=OLD, candidate=NEW)


def test_an_active_version_is_named_with_what_it_replaces() -> None:
    after = replace(TRIAL, phase=Phase.ACTIVE, active=NEW, previous=OLD, candidate=None)
    event = slot_event(TRIAL, after)
    assert event is not None
    assert (event.name, event.level) == ("slot_active", "info")
    assert event.text == "wine/4 is active, replaces wine/3"
    assert event.detail["module"] == "wine"
    assert event.detail["version"] == "4"
    assert event.detail["replaces"] == "wine/3"


def test_the_first_version_replaces_nothing() -> None:
    before = replace(TRIAL, active=None)
    event = slot_event(before, replace(before, phase=Phase.ACTIVE, active=NEW, candidate=None))
    assert event is not None
    assert event.text == "wine/4 is active"
    assert event.detail["replaces"] == ""


def test_a_shadow_says_so_and_names_the_shadow_that_it_replaces() -> None:
    old, new = replace(OLD, shadows="live"), replace(NEW, shadows="live")
    before = replace(TRIAL, target=new, active=old, candidate=new)
    event = slot_event(before, replace(before, phase=Phase.ACTIVE, active=new, candidate=None))
    assert event is not None
    assert event.text == "wine/4 is active as a shadow of live, replaces the shadow wine/3"
    assert event.detail["replaces"] == "wine/3"


def test_a_removed_slot_names_what_was_in_it() -> None:
    before = SlotRecord(slot="wine", phase=Phase.ACTIVE, target=OLD, active=OLD)
    event = slot_event(before, SlotRecord(slot="wine"))
    assert event is not None
    assert (event.name, event.text) == ("slot_absent", "wine/3 was removed")


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.REJECTED, Phase.ROLLED_BACK])
def test_a_failure_says_why_and_what_runs(phase: Phase) -> None:
    error = SlotError(code="golden_failed", text="case 1 differs", step="golden")
    event = slot_event(TRIAL, replace(TRIAL, phase=phase, candidate=None, error=error))
    assert event is not None
    assert event.level == "error"
    assert event.text == "wine/4, wine/3 runs: golden_failed: case 1 differs"
    assert event.detail["running"] == "wine/3"
    assert event.detail["step"] == "golden"


def test_a_step_on_the_way_is_no_event() -> None:
    assert slot_event(TRIAL, TRIAL) is None
    assert slot_event(replace(TRIAL, phase=Phase.ACTIVE), TRIAL) is None


def test_a_version_that_lost_what_the_one_before_remembered_is_an_event() -> None:
    spec = WorkerSpec(
        mode="live", device="d", slot="wine", version=4, digest="", manifest_file="", blob_files={}
    )
    event = worker_event(spec, WorkerBeganEmpty(text="windows and states began empty"))
    assert event is not None
    assert (event.name, event.level) == ("state_began_empty", "warning")
    assert event.text == "wine, version 4: windows and states began empty"
    assert event.detail == {"version": "4"}
    assert worker_event(spec, WorkerConnected(session_present=False)) is None


def test_another_client_with_a_workers_name_is_told_with_the_name() -> None:
    spec = WorkerSpec(
        mode="live",
        device="line-1",
        slot="wine",
        version=3,
        digest="d",
        manifest_file="",
        blob_files={},
        client_id="line-1_wine",
    )
    event = worker_event(spec, WorkerRival(text="another client uses the name"))
    assert event is not None
    assert (event.name, event.level) == ("client_id_taken", "error")
    assert event.text == "wine, version 3: another client uses the name"
    assert event.detail == {"version": "3", "client_id": "line-1_wine"}
