"""Shadows on a real agent, with a real broker and real processes: equal and unlike versions,
killed under load, flooded, promoted.
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.contract.manifest import Tensor
from edge_agent.contract.messages import ShadowHealth, SlotHealth
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.brokers import Broker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import (
    BuiltModule,
    build_module,
    fields,
    identity_model,
    manifest_of,
    write_module,
)
from tests.support.rows import RowsClient
from tests.support.waiting import wait_for

SOURCE = "data/line-1/sensors/a/rows"
WAIT_S = 60.0


class Line:
    """An agent with a live version of `probe`, a cloud, and somebody who sends rows."""

    def __init__(
        self, folder: Path, cloud: FakeCloud, agent: AgentProcess, rows: RowsClient
    ) -> None:
        self._folder = folder
        self.cloud, self.agent, self.rows = cloud, agent, rows
        self.live = self.build("v1", bias=1.0)
        self.slots = {"probe": wanted(self.live)}

    def build(self, name: str, bias: float) -> BuiltModule:
        built = build_module(self._folder / name, bias=bias)
        self.cloud.publish_module(built)
        return built

    def install(self) -> None:
        self.agent.await_status(WAIT_S)
        self.cloud.want("line-1", self.slots)
        self.cloud.await_slot("probe", _runs(self.live), WAIT_S)
        self.rows.listen("data/line-1/results/#")

    def want_shadow(self, built: BuiltModule, version: int) -> None:
        shadow = wanted(built, version, mode="shadow", shadows="probe")
        self.slots = {**self.slots, "probe-shadow": shadow}
        self.cloud.want("line-1", self.slots)

    def shadow_with(self, built: BuiltModule, version: int = 2) -> None:
        """A shadow that has heard something."""
        self.want_shadow(built, version)
        self.cloud.await_slot("probe-shadow", _runs(built), WAIT_S)
        self.await_heard()

    def await_heard(self) -> ShadowHealth:
        """Send rows until the shadow has compared one: it connects by and by."""

        def is_heard() -> ShadowHealth | None:
            self.rows.send(SOURCE, {"id": 0, "a": 1, "b": 1, "c": 1})
            found = self.compared()
            return found if found is not None and found.seen else None

        return wait_for(is_heard, WAIT_S, lambda: f"{self.compared()}\n{self.agent.log[-3000:]}")

    def worker(self, slot: str) -> SlotHealth | None:
        found = self.agent.status().slots.get(slot)
        return found.worker if found is not None else None

    def compared(self) -> ShadowHealth | None:
        worker = self.worker("probe-shadow")
        return worker.shadow if worker is not None else None

    def answered(self) -> int:
        """Messages that the slot is done with: answered, refused or dropped."""
        worker = self.worker("probe")
        if worker is None:
            return 0
        return worker.messages_out + sum(worker.failed.values()) + sum(worker.dropped.values())

    def uncounted(self) -> int:
        """What the slot is done with, and the shadow neither saw nor left out."""
        found = self.compared()
        assert found is not None
        return self.answered() - found.seen - sum(found.shed.values())

    def await_quiet(self, sent: int) -> int:
        """Wait until everything was answered and counted; what the shadow was not there for."""
        wait_for(
            lambda: len(self.rows.answers) >= sent, WAIT_S, lambda: str(len(self.rows.answers))
        )
        last: list[tuple[int, ...]] = []

        def is_same() -> bool:
            found = self.compared()
            assert found is not None
            state = (self.answered(), found.seen, sum(found.shed.values()))
            last.append(state)
            return len(last) > 100 and set(last[-100:]) == {state}

        wait_for(is_same, WAIT_S, lambda: str(last[-3:]))
        return self.uncounted()

    def send(self, count: int, first_id: int, padding: int = 0) -> None:
        for number in range(count):
            row = {"id": first_id + number, "a": number % 50, "b": 1, "c": 1, "x": "x" * padding}
            self.rows.send(SOURCE, row)


def _runs(built: BuiltModule) -> Callable[..., bool]:
    return lambda slot: slot.running == built.digest and slot.phase in (Phase.ACTIVE, Phase.TRIAL)


@pytest.fixture
def line(tmp_path: Path, nats_broker: Broker) -> Iterator[Line]:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    agent = AgentProcess(tmp_path / "line-1", cloud.url, nats_broker.url)
    agent.start()
    rows = RowsClient(nats_broker.host, nats_broker.port)
    made = Line(tmp_path, cloud, agent, rows)
    made.install()
    yield made
    rows.close()
    agent.stop()
    cloud.close()


def test_an_equal_version_agrees_on_every_message_and_publishes_nothing(line: Line) -> None:
    line.shadow_with(line.build("v2", bias=1.0))
    line.cloud.await_slot("probe-shadow", lambda slot: slot.phase is Phase.ACTIVE, WAIT_S)
    before = len(line.rows.answers)
    line.send(300, first_id=1000)
    wait_for(lambda: any(a["id"] == 1299 for a in line.rows.answers), WAIT_S)
    found = wait_for(
        lambda: c if (c := line.compared()) is not None and c.seen >= 250 else None,
        WAIT_S,
        lambda: str(line.compared()),
    )
    assert found.agreed == found.seen
    assert (found.of, found.version, found.failed, found.max_difference) == ("probe", 1, 0, 0)
    slots = {answer["slot"] for answer in line.rows.answers}
    assert slots == {"probe"}
    assert len({a["id"] for a in line.rows.answers[before:] if a["id"] >= 1000}) == 300
    worker = line.worker("probe-shadow")
    assert worker is not None
    assert "same version" in " ".join(worker.notes)
    assert worker.run.count > 0
    assert worker.rss_mb > 0


def test_a_version_that_differs_says_by_how_much(line: Line) -> None:
    line.shadow_with(line.build("v2", bias=3.0))
    line.send(300, first_id=1000)
    found = wait_for(
        lambda: c if (c := line.compared()) is not None and c.psi is not None else None,
        WAIT_S,
        lambda: str(line.compared()),
    )
    assert found.agreed == 0
    assert found.max_difference == pytest.approx(2.0)


def test_seen_and_left_out_add_up_to_what_was_answered_under_a_flood(line: Line) -> None:
    line.shadow_with(line.build("v2", bias=3.0))
    unheard = line.await_quiet(0)
    sent = 3000
    before = len(line.rows.answers)
    line.send(sent, first_id=1000, padding=2000)
    line.await_quiet(before + sent)
    assert line.uncounted() == unheard
    found = line.compared()
    assert found is not None
    assert found.seen + sum(found.shed.values()) >= sent


def test_a_shadow_that_is_killed_under_load_costs_only_itself(line: Line) -> None:
    line.shadow_with(line.build("v2", bias=3.0))
    live = line.worker("probe")
    assert live is not None
    before = len(line.rows.answers)
    sending = line.rows.stream(SOURCE, every_s=0.005)
    pids = set()
    for _ in range(3):
        worker = wait_for(
            lambda: (
                w if (w := line.worker("probe-shadow")) and w.pid and w.pid not in pids else None
            ),
            WAIT_S,
        )
        pids.add(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: (w := line.worker("probe-shadow")) and w.restarts >= 3, WAIT_S)
    wait_for(
        lambda: (c := line.compared()) is not None and c.seen > 0,
        WAIT_S,
        lambda: f"{line.compared()}\n{line.agent.log[-3000:]}",
    )
    total = sending.stop()
    wait_for(lambda: len(line.rows.answers) >= before + total, WAIT_S)
    after = line.worker("probe")
    assert after is not None
    assert (after.pid, after.restarts) == (live.pid, 0)
    shadow = line.worker("probe-shadow")
    assert shadow is not None
    assert shadow.crashes.get("crashed") == 3


def test_mirroring_goes_on_when_the_live_worker_is_started_again_or_replaced(line: Line) -> None:
    line.shadow_with(line.build("v2", bias=3.0))
    live = line.worker("probe")
    assert live is not None
    os.kill(live.pid, signal.SIGKILL)
    wait_for(lambda: (w := line.worker("probe")) and w.pid not in (0, live.pid), WAIT_S)
    seen = (line.compared() or ShadowHealth(of="probe")).seen

    def hears_more() -> bool:
        line.rows.send(SOURCE, {"id": 0, "a": 1, "b": 1, "c": 1})
        found = line.compared()
        return found is not None and found.seen > seen

    wait_for(hears_more, WAIT_S, lambda: str(line.compared()))
    # A promotion is an ordinary deployment: the shadow then hears the same version.
    third = line.build("v3", bias=3.0)
    line.slots = {**line.slots, "probe": wanted(third, 3)}
    line.cloud.want("line-1", line.slots)

    def agrees() -> bool:
        line.rows.send(SOURCE, {"id": 0, "a": 1, "b": 1, "c": 1})
        found = line.compared()
        return found is not None and found.version == 3 and found.agreed == found.seen > 0

    wait_for(agrees, WAIT_S, lambda: str(line.compared()))


def test_a_shadow_goes_when_it_is_not_wanted_and_its_slot_goes_on(line: Line) -> None:
    line.shadow_with(line.build("v2", bias=3.0))
    line.slots = {"probe": line.slots["probe"]}
    line.cloud.want("line-1", line.slots)
    wait_for(lambda: line.worker("probe-shadow") is None, WAIT_S)
    before = len(line.rows.answers)
    line.send(20, first_id=5000)
    wait_for(lambda: len(line.rows.answers) >= before + 20, WAIT_S)
    assert not list(line.agent.state_dir.glob("run/mirror-*"))


def test_a_shadow_of_what_is_not_wanted_is_refused_and_holds_nothing_up(line: Line) -> None:
    shadow = wanted(line.build("v2", bias=3.0), 2, mode="shadow", shadows="nobody")
    line.cloud.want("line-1", {**line.slots, "probe-shadow": shadow})
    found = line.cloud.await_slot("probe-shadow", lambda slot: slot.phase is Phase.REJECTED, WAIT_S)
    assert found.error is not None
    assert found.error.code == "shadow_misfit"
    line.send(5, first_id=1)
    wait_for(lambda: len(line.rows.answers) >= 5, WAIT_S)


def test_a_shadow_without_an_output_in_common_is_fetched_and_refused(
    line: Line, tmp_path: Path
) -> None:
    odd = TensorSpec("odd", "float32", (-1, 3))
    model = identity_model(odd)
    tensor = Tensor(name="odd", source="fields", fields=fields("a", "b", "c"))
    out = TensorSpec("odd_out", "float32", (-1, 3))
    other = write_module(tmp_path / "other", manifest_of(model, [odd], [out], [tensor]), {}, model)
    line.cloud.publish_module(other)
    line.want_shadow(other, 2)
    found = line.cloud.await_slot("probe-shadow", lambda slot: slot.phase is Phase.REJECTED, WAIT_S)
    assert found.error is not None
    assert found.error.code == "shadow_misfit"
    assert "expected an output that 'probe' has, too ('score'), found 'odd_out'" in found.error.text
    assert "compared by name" in found.error.text
    # What is deployed then can be one.
    line.shadow_with(line.build("v3", bias=3.0), version=3)
