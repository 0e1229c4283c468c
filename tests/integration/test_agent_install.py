"""A real agent, a real broker, real workers: a module arrives, runs, is replaced, is removed."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from onnx import helper, numpy_helper

from edge_agent.contract.manifest import Blob, Health, Tensor
from edge_agent.contract.messages import Command
from edge_agent.contract.names import digest_of
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.state import Phase, SlotConfig
from edge_agent.contract.topics import Channel, control
from tests.support.agents import AgentProcess
from tests.support.brokers import Broker
from tests.support.fake_cloud import FakeCloud, soon, wanted
from tests.support.models import (
    BuiltModule,
    build_module,
    fields,
    manifest_of,
    onnx_model,
    write_module,
)
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for


@pytest.fixture
def cloud(any_broker: Broker) -> Iterator[FakeCloud]:
    service = FakeCloud()
    service.connect(any_broker.host, any_broker.port)
    yield service
    service.close()


@pytest.fixture
def agent(tmp_path: Path, any_broker: Broker, cloud: FakeCloud) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path / "line-1", cloud.url, any_broker.url)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def rows(any_broker: Broker) -> Iterator[RowsClient]:
    client = RowsClient(any_broker.host, any_broker.port)
    yield client
    client.close()


def module_that_knows_only_zero(folder: Path) -> BuiltModule:
    """Passes its golden case, a = 0, and fails with every other message."""
    spec, out = TensorSpec("at", "int64", (-1, 1)), TensorSpec("score", "float32", (-1, 1))
    table = numpy_helper.from_array(np.zeros(1, np.float32), "table")
    gather = helper.make_node("Gather", ["table", "at"], ["score"])
    model = onnx_model([gather], [spec], [out], [table])
    cases = msgspec.json.encode({"payload": {"a": 0}, "outputs": {"score": [0.0]}})
    blob = Blob(path="golden/case.json", digest=digest_of(cases), size=len(cases))
    tensor = Tensor(name="at", source="fields", fields=fields("a"))
    manifest = manifest_of(model, [spec], [out], [tensor], health=Health(golden=(blob,)))
    return write_module(folder, manifest, {blob.digest: cases}, model)


def installed(cloud: FakeCloud, tmp_path: Path, agent: AgentProcess) -> BuiltModule:
    """Version 1 of the module `probe`, active."""
    first = build_module(tmp_path / "v1", bias=1.0)
    cloud.publish_module(first)
    agent.await_status()
    cloud.want("line-1", {"probe": wanted(first)})
    cloud.await_slot("probe", lambda slot: slot.running == first.digest)
    return first


def test_a_wanted_module_is_installed_and_answers(
    cloud: FakeCloud, agent: AgentProcess, rows: RowsClient, tmp_path: Path
) -> None:
    first = installed(cloud, tmp_path, agent)
    slot = cloud.await_slot("probe", lambda slot: slot.phase in (Phase.TRIAL, Phase.ACTIVE))
    assert slot.wanted == first.digest
    assert slot.running_version == 1
    rows.listen("data/line-1/results/#")
    rows.send("data/line-1/sensors/a/rows", {"id": 7, "a": 1, "b": 1, "c": 1})
    answer = rows.next_answer()
    assert answer["id"] == 7
    assert answer["version"] == 1
    assert answer["outputs"]["score"] == [7.0]
    # One hundred messages end the trial before its ten seconds are over.
    for number in range(100):
        rows.send("data/line-1/sensors/a/rows", {"id": number, "a": 1, "b": 1, "c": 1})
    cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE)
    assert cloud.await_event("slot_active").detail["module"] == "probe"
    status = agent.status()
    assert status.revision_applied == status.revision_seen == 1
    assert status.slots["probe"].worker is not None


def test_a_new_version_takes_over_without_losing_or_repeating_an_answer(
    cloud: FakeCloud, agent: AgentProcess, rows: RowsClient, tmp_path: Path
) -> None:
    installed(cloud, tmp_path, agent)
    second = build_module(tmp_path / "v2", bias=2.0)
    cloud.publish_module(second)
    rows.listen("data/line-1/results/#")
    sent = rows.stream("data/line-1/sensors/a/rows", every_s=0.01)
    wait_for(lambda: len(rows.answers) > 20, 10)
    cloud.want("line-1", {"probe": wanted(second, 2)})
    cloud.await_slot("probe", lambda slot: slot.running == second.digest)
    wait_for(lambda: any(a["version"] == 2 for a in rows.answers), 10)
    total = sent.stop()
    wait_for(
        lambda: len({a["id"] for a in rows.answers}) == total,
        15,
        lambda: f"{len(rows.answers)} of {total}",
    )
    ids = [a["id"] for a in rows.answers]
    assert len(ids) == len(set(ids))


def test_a_version_that_fails_its_golden_cases_leaves_the_old_one_running(
    cloud: FakeCloud, agent: AgentProcess, rows: RowsClient, tmp_path: Path
) -> None:
    first = installed(cloud, tmp_path, agent)
    wrong = build_module(
        tmp_path / "v2",
        bias=5.0,
        golden={"payload": {"a": 1, "b": 1, "c": 1}, "outputs": {"score": [99.0]}},
    )
    cloud.publish_module(wrong)
    cloud.want("line-1", {"probe": wanted(wrong, 2, config=SlotConfig(uplink="all"))})
    slot = cloud.await_slot("probe", lambda slot: slot.phase is Phase.ROLLED_BACK)
    assert slot.running == first.digest
    assert slot.wanted == wrong.digest
    assert slot.error is not None
    assert slot.error.code == "golden_failed"
    assert slot.error.step == "prove"
    rows.listen("data/line-1/results/#")
    rows.send("data/line-1/sensors/a/rows", {"id": 1, "a": 1, "b": 1, "c": 1})
    assert rows.next_answer()["version"] == 1
    assert cloud.await_event("slot_rolled_back").detail["version"] == "2"
    # What runs is wanted again: all is well, nothing was downloaded for it.
    count = len(cloud.requests)
    cloud.want("line-1", {"probe": wanted(first)})
    cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE and slot.error is None)
    assert len(cloud.requests) == count


def test_a_version_that_fails_on_live_messages_says_with_what(
    cloud: FakeCloud, agent: AgentProcess, rows: RowsClient, tmp_path: Path
) -> None:
    short = module_that_knows_only_zero(tmp_path / "v1")
    cloud.publish_module(short)
    agent.await_status()
    cloud.want("line-1", {"probe": wanted(short)})
    sent = rows.stream("data/line-1/sensors/a/rows", every_s=0.02)
    failed = wait_for(
        lambda: next((e for e in cloud.events("slot_failed") if "trial_errors" in e.text), None),
        60,
        lambda: f"{cloud.events()} {cloud.slot('probe')}",
    )
    sent.stop()
    assert "the model failed" in failed.text
    assert "most often model_failed: " in failed.text
    assert "Gather" in failed.text, "onnxruntime's own words"
    assert "Gather" in agent.log


def test_another_input_topic_ends_the_old_subscription(
    cloud: FakeCloud, agent: AgentProcess, rows: RowsClient, tmp_path: Path
) -> None:
    first = installed(cloud, tmp_path, agent)
    rows.listen("data/line-1/results/#")
    moved = SlotConfig(input_topic="moved/+/rows")
    revision = cloud.want("line-1", {"probe": wanted(first, config=moved)})
    wait_for(lambda: agent.status().revision_applied == revision, 30)
    for number, place in enumerate(("sensors", "moved")):
        rows.send(f"data/line-1/{place}/a/rows", {"id": number, "a": 1, "b": 1, "c": 1})
    assert rows.next_answer()["id"] == 1
    rows.send("data/line-1/moved/a/rows", {"id": 2, "a": 1, "b": 1, "c": 1})
    assert rows.next_answer()["id"] == 2

    def answered_both() -> bool:
        worker = agent.status().slots["probe"].worker
        return worker is not None and worker.messages_out == 2

    wait_for(answered_both, 10)
    worker = agent.status().slots["probe"].worker
    assert worker is not None
    assert worker.dropped == {}, "the session still gets the old topic"


def test_another_configuration_is_a_change_that_is_tried_like_a_version(
    cloud: FakeCloud, agent: AgentProcess, rows: RowsClient, tmp_path: Path
) -> None:
    first = installed(cloud, tmp_path, agent)
    cloud.want("line-1", {"probe": wanted(first, config=SlotConfig(uplink="all"))})
    wait_for(lambda: cloud.reports[-1].revision_seen == 2)
    cloud.await_slot("probe", lambda slot: slot.running == first.digest)

    def sent_home() -> bool:
        rows.send("data/line-1/sensors/a/rows", {"id": "home", "a": 1, "b": 1, "c": 1})
        found = [r for r in list(cloud.rows.values()) if r.kind == "result" and r.slot == "probe"]
        return any(msgspec.json.decode(row.data)["id"] == "home" for row in found)

    wait_for(sent_home, 30)


def test_a_slot_that_is_not_wanted_any_more_is_removed_with_its_files(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    installed(cloud, tmp_path, agent)
    cloud.want("line-1", {})
    wait_for(lambda: cloud.reports[-1].revision_applied == 2 and not cloud.reports[-1].slots, 20)
    wait_for(lambda: not list((agent.state_dir / "blobs").iterdir()))
    assert agent.status().slots == {}


def test_a_bad_desired_state_is_ignored_with_an_event(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    first = installed(cloud, tmp_path, agent)
    topic = control("line-1", Channel.DESIRED)
    cloud.send(topic, b"\xff not json")
    assert cloud.await_event("desired_refused").detail["code"] == "contract_invalid"
    cloud.send(topic, json.dumps({"v": 2, "device": "line-1", "revision": 9}).encode())
    wait_for(
        lambda: any(e.detail["code"] == "version_newer" for e in cloud.events("desired_refused"))
    )
    cloud.send(topic, json.dumps({"v": 1, "device": "line-2", "revision": 9}).encode())
    wait_for(
        lambda: any(e.detail["code"] == "wrong_device" for e in cloud.events("desired_refused"))
    )
    cloud.send(topic, json.dumps({"v": 1, "device": "line-1", "revision": 0}).encode())
    wait_for(
        lambda: any(e.detail["code"] == "revision_old" for e in cloud.events("desired_refused"))
    )
    slot = cloud.slot("probe")
    assert slot is not None
    assert slot.running == first.digest


def test_commands_are_done_once_and_answered(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    installed(cloud, tmp_path, agent)
    before = agent.status().slots["probe"].worker
    assert before is not None
    cloud.command("line-1", "c1", Command(name="restart-slot", slot="probe", deadline=soon()))
    wait_for(lambda: cloud.results.get("c1"))
    assert cloud.results["c1"].ok

    def has_new_process() -> bool:
        worker = agent.status().slots["probe"].worker
        return worker is not None and worker.pid not in (0, before.pid) and worker.restarts == 1

    wait_for(has_new_process, 20)
    # A restart that was asked for is no crash: the trial goes on, the version stays.
    assert not cloud.events("worker_crashed")
    cloud.command("line-1", "c2", Command(name="restart-slot", slot="none", deadline=soon()))
    wait_for(lambda: cloud.results.get("c2"))
    assert (cloud.results["c2"].ok, cloud.results["c2"].code) == (False, "not_found")
    cloud.command("line-1", "c3", Command(name="report", deadline=soon(-5)))
    wait_for(lambda: cloud.results.get("c3"))
    assert cloud.results["c3"].code == "expired"


def test_what_an_agent_writes_only_its_own_user_can_read(
    cloud: FakeCloud, agent: AgentProcess, tmp_path: Path
) -> None:
    installed(cloud, tmp_path, agent)
    files = [path for path in agent.state_dir.rglob("*") if not path.is_symlink()]
    assert {"journal.db", "outbox.db"} <= {path.name for path in files}
    open_to_others = [str(path) for path in files if path.stat().st_mode & 0o077]
    assert open_to_others == []
