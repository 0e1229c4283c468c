"""`shoal deploy --wait` with a real service and a real agent."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud_sync.resources import DeviceSummary, SlotExplanation
from edge_agent.contract.state import UPDATE_LOCKED
from tests.support.agents import AgentProcess, edge_agent
from tests.support.models import linear_model
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal, publish_linear
from tests.support.waiting import wait_for

PATIENT_S = "120"


@pytest.fixture
def agent(service: CloudService, tmp_path: Path) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path / "agent", service.url, service.broker_url)
    process.start()
    process.await_status(30)
    yield process
    process.stop()


def test_waiting_ends_when_the_device_reports_the_digest_as_running(
    service: CloudService, tmp_path: Path
) -> None:
    shoal = Shoal(service.url)
    model, folder = tmp_path / "wine.onnx", tmp_path / "wine"
    model.write_bytes(linear_model())
    shoal.ok("module", "init", str(folder), "--model", str(model))
    with (folder / "module.toml").open("a") as source:  # [health] is the last table
        source.write("trial = { seconds = 0.5 }\n")
    shoal.ok("module", "publish", str(folder))
    agent = AgentProcess(tmp_path / "agent", service.url, service.broker_url)
    agent.start()
    try:
        shoal.ok("device", "add", "line-1")  # its agent may not have spoken yet
        said = shoal.ok("deploy", "wine", "--to", "line-1", "--wait", "60").out
        assert said.splitlines()[-1] == "running on line-1"

        explained = shoal.ok("device", "explain", "line-1", "wine", "--json").json(SlotExplanation)
        assert explained.running == explained.wanted == "wine/1"
        assert explained.running_digest == explained.wanted_digest
        assert "1 -> 1" in shoal.ok("fleet", "status").out
        again = shoal.ok("deploy", "wine", "--to", "line-1", "--wait", "60").out
        assert "wanted that already" in again
        assert again.splitlines()[-1] == "running on line-1"
        listed = shoal.ok("device", "list", "--json").json(list[DeviceSummary])
        assert [device.presence for device in listed] == ["online"]
    finally:
        agent.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_waiting_goes_on_while_a_program_on_the_device_puts_the_update_off(
    service: CloudService, agent: AgentProcess, tmp_path: Path
) -> None:
    shoal = Shoal(service.url)
    shoal.ok("device", "add", "line-1")
    publish_linear(shoal, tmp_path / "wine", 1.0, "{ seconds = 0.5 }")
    shoal.ok("deploy", "wine", "--to", "line-1", "--wait", PATIENT_S)
    lock = edge_agent("lock", "wine", "--for", "3000", "--reason", "a cut", cwd=agent.folder)
    assert lock.returncode == 0, lock.stderr

    def explained() -> SlotExplanation:
        found = shoal.ok("device", "explain", "line-1", "wine", "--json")
        return found.json(SlotExplanation)

    wait_for(lambda: explained().locked_until, 30)
    publish_linear(shoal, tmp_path / "wine", 2.0)
    early = shoal.run("deploy", "wine", "--to", "line-1", "--wait", "3")
    assert early.code == 1
    assert "waits for an update lock of the device" in early.err
    assert "a cut" in early.err

    found = wait_for(lambda: next((e for e in [explained()] if e.rollouts), None), 30)
    assert found.error_code == UPDATE_LOCKED
    (rollout,) = found.rollouts
    assert rollout.version == "wine/2"
    assert rollout.waiting is not None
    assert rollout.waiting.code == "lock"
    told = shoal.ok("device", "explain", "line-1", "wine").out
    assert "put off by a program there" in told
    status = shoal.ok("rollout", "status", rollout.rollout, "--devices").out
    assert "a program on the device puts updates off" in " ".join(status.split())

    with ThreadPoolExecutor(1) as waiter:
        # The same order once more: nothing is asked again, and it is waited for.
        late = waiter.submit(shoal.process, "deploy", "wine", "--to", "line-1", "--wait", PATIENT_S)
        edge_agent("unlock", "wine", cwd=agent.folder)
        outcome = late.result()
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[-1] == "running on line-1"
