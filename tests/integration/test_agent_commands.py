"""A command's whole way: from the command line over the service and the broker to a real agent."""

import os
import signal
from pathlib import Path

import httpx

from cloud_sync.resources import SlotExplanation
from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.rows import RowsClient, sample
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal, publish_linear
from tests.support.waiting import wait_for

WAIT_S = 60.0
ENOUGH = 5
TRIAL = f"{{ seconds = 3600, messages = {ENOUGH} }}"
"""Messages end it, and time alone never does."""


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


def test_a_version_that_was_rolled_back_is_taken_when_it_is_asked_for_again(
    service: CloudService, tmp_path: Path
) -> None:
    shoal, folder = Shoal(service.url), tmp_path / "wine"
    agent = AgentProcess(tmp_path / "agent", service.url, service.broker_url)
    broker = httpx.URL(service.broker_url)
    rows = RowsClient(broker.host, broker.port or 1883)

    def on_trial(version: int) -> int:
        """Wait until a version answers live messages; its process id."""

        def found() -> int:
            slot = agent.status().slots.get("wine")
            worker = slot.worker if slot is not None else None
            if slot is None or slot.state.phase is not Phase.TRIAL or worker is None:
                return 0
            return worker.pid if worker.version == version and worker.connected else 0

        return wait_for(found, WAIT_S, lambda: agent.log)

    def passes(version: int) -> None:
        on_trial(version)
        topic, payload = sample(folder)
        for _ in range(ENOUGH):
            rows.send(topic, payload)
        wait_for(lambda: stands(Phase.ACTIVE, version), WAIT_S, lambda: agent.log)

    def stands(phase: Phase, running: int) -> SlotExplanation | None:
        found = explained()
        return found if (found.phase, found.running) == (phase, f"wine/{running}") else None

    def explained() -> SlotExplanation:
        said = shoal.ok("device", "explain", "line-1", "wine", "--json").json(SlotExplanation)
        assert isinstance(said, SlotExplanation)
        return said

    try:
        publish_linear(shoal, folder, bias=0.5, trial=TRIAL)
        agent.start()
        agent.await_status(WAIT_S)
        shoal.ok("device", "add", "line-1")
        shoal.ok("deploy", "wine/1", "--to", "line-1")
        passes(1)

        # The cause, from outside: somebody ends the new version's process while it is tried.
        publish_linear(shoal, folder, bias=0.75)
        shoal.ok("deploy", "wine/2", "--to", "line-1")
        os.kill(on_trial(2), signal.SIGKILL)
        before = wait_for(lambda: stands(Phase.ROLLED_BACK, 1), WAIT_S, lambda: agent.log)
        assert (before.wanted, before.next_retry) == ("wine/2", None)
        assert "shoal device retry" in before.advice

        # The cause is gone: nothing but the order brings it on trial again.
        assert "line-1 tries wine again" in shoal.ok("device", "retry", "line-1", "wine").out
        passes(2)
        after = explained()
        assert (after.wanted, after.next_retry) == ("wine/2", None)
        assert after.running_digest == after.wanted_digest
    finally:
        rows.close()
        agent.stop()
