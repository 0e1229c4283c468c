"""A shadow from deployment to promotion, with a real service, a real agent and `shoal`."""

import subprocess
import sys
from pathlib import Path

import httpx

from cloud_sync.resources import SlotSummary
from tests.support.agents import AgentProcess
from tests.support.rows import RowsClient, sample
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal, publish_linear
from tests.support.waiting import wait_for

WAIT_S = 60.0


def test_a_shadow_is_tried_looked_at_promoted_and_removed(
    service: CloudService, tmp_path: Path
) -> None:
    shoal = Shoal(service.url)
    publish_linear(shoal, tmp_path / "wine", bias=0.5, trial="{ seconds = 0.5 }")
    agent = AgentProcess(tmp_path / "agent", service.url, service.broker_url)
    agent.start()
    broker = httpx.URL(service.broker_url)
    rows = RowsClient(broker.host, broker.port or 1883)
    try:
        shoal.ok("device", "add", "line-1")
        refused = shoal.run("deploy", "wine", "--to", "line-1", "--shadow")
        assert refused.code != 0
        assert "expected to shadow a slot of its device" in refused.err
        shoal.ok("deploy", "wine", "--to", "line-1", "--wait", "60")
        publish_linear(shoal, tmp_path / "wine", bias=0.75)
        said = shoal.ok("deploy", "wine/2", "--to", "line-1", "--shadow", "--wait", "60").out
        assert "in slot wine-shadow on line-1" in said
        assert said.splitlines()[-1] == "running on line-1"

        topic, payload = sample(tmp_path / "wine")

        def is_seen() -> SlotSummary | None:
            for _ in range(20):
                rows.send(topic, payload)
            found = shoal.ok("device", "shadows", "line-1", "--json").json(dict[str, SlotSummary])
            assert isinstance(found, dict)
            slot = found["wine-shadow"]
            return slot if slot.shadow is not None and slot.shadow.psi is not None else None

        slot = wait_for(is_seen, WAIT_S, lambda: agent.log[-3000:])
        assert slot.shadow is not None
        assert slot.shadow.agreed == 0
        assert abs(slot.shadow.max_difference - 0.25) < 1e-6
        drawn = shoal.ok("device", "shadows", "line-1").out
        assert "wine-shadow" in drawn
        assert "0.25" in drawn
        assert max(map(len, drawn.splitlines())) <= 100
        assert "active, shadow" in shoal.ok("fleet", "status").out
        shown = shoal.ok("device", "show", "line-1").out
        assert "p50/p99 ms" in shown
        explained = shoal.ok("device", "explain", "line-1", "wine-shadow").out
        assert "it shadows wine" in explained
        status = subprocess.run(
            [sys.executable, "-m", "edge_agent.cli", "status", "--config", str(agent.config)],
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout  # fmt: skip
        assert "wine-shadow: shadows wine (version 1); agrees on 0 of" in status
        assert max(map(len, status.splitlines())) <= 100

        publish_linear(shoal, tmp_path / "wine", bias=1.0)
        said = shoal.ok("deploy", "wine/3", "--to", "line-1", "--shadow", "--wait", "60").out
        assert "; the shadow wine/2 is replaced on line-1" in said

        shoal.ok("deploy", "wine/3", "--to", "line-1", "--wait", "60")
        assert "same version" in shoal.ok("device", "explain", "line-1", "wine-shadow").out
        assert shoal.run("remove", "wine", "--to", "line-1").code != 0
        shoal.ok("remove", "wine-shadow", "--to", "line-1")
        wait_for(lambda: list(agent.status().slots) == ["wine"], WAIT_S)
    finally:
        rows.close()
        agent.stop()
