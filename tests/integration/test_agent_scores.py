"""A real agent tells how the scores of a module with a profile are spread."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.contract.scores import Profile, ScoreBins
from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module, linear_model, write_module
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

SOURCE = "data/line-1/sensors/a/rows"
BINS = ScoreBins(edges=(10.0, 20.0), counts=(100, 100, 0, 0))


@pytest.fixture
def cloud(nats_broker: EmbeddedBroker) -> Iterator[FakeCloud]:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    yield cloud
    cloud.close()


def test_the_health_report_has_the_scores_by_the_bins_of_the_profile(
    tmp_path: Path, nats_broker: EmbeddedBroker, cloud: FakeCloud
) -> None:
    plain = build_module(tmp_path / "plain", bias=0.0)
    golden = {
        blob.digest: plain.files[blob.digest].read_bytes() for blob in plain.manifest.health.golden
    }
    health = replace(plain.manifest.health, profile=Profile(output="score", columns=(BINS,)))
    manifest = replace(plain.manifest, health=health)
    built = write_module(tmp_path / "counted", manifest, golden, linear_model(bias=0.0))
    agent = AgentProcess(tmp_path / "line-1", cloud.url, nats_broker.url)
    agent.start()
    rows = RowsClient(nats_broker.host, nats_broker.port)
    try:
        agent.await_status()
        cloud.publish_module(built)
        cloud.want("line-1", {"probe": wanted(built)})
        # Its trial ends only after it has reached the broker.
        cloud.await_slot("probe", lambda slot: slot.phase is Phase.ACTIVE and bool(slot.running))
        rows.listen("data/line-1/results/#")
        for number, first in enumerate([1, 1, 1, 12, 50]):  # its score, as b and c are 0
            rows.send(SOURCE, {"id": number, "a": first, "b": 0, "c": 0})

        def told() -> tuple[int, ...]:
            found = cloud.healths[-1].slots.get("probe") if cloud.healths else None
            return found.scores if found is not None else ()

        wait_for(lambda: told() == (3, 1, 1, 0), 30, lambda: f"{told()}\n{agent.log[-2000:]}")
    finally:
        rows.close()
        agent.stop()
