"""A command's whole way: from the command line over the service and the broker to a real agent."""

from pathlib import Path

from tests.support.agents import AgentProcess
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal
from tests.support.waiting import wait_for


def test_a_device_answers_what_it_is_asked_to_do(service: CloudService, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "line-1", service.url, service.broker_url)
    shoal = Shoal(service.url)
    try:
        agent.start()
        agent.await_status(30)

        def is_online() -> bool:
            listed = shoal.ok("device", "list", "--json").json()
            return [device["presence"] for device in listed] == ["online"]

        wait_for(is_online, 30, lambda: agent.log)
        refused = shoal.run("device", "retry", "line-1", "nothing-here")
        assert refused.code == 1
        assert "device 'line-1' refused" in refused.err
        assert "nothing-here" in refused.err
        assert "event=command" in agent.log
        events = shoal.ok("events", "--json").json()
        assert "command_result" in [event["name"] for event in events]
    finally:
        agent.stop()
