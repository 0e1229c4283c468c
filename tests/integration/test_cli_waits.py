"""`shoal deploy --wait` with a real service and a real agent."""

from pathlib import Path

from cloud_sync.resources import DeviceSummary, SlotExplanation
from tests.support.agents import AgentProcess
from tests.support.models import linear_model
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal


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
