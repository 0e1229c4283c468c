"""A shadow beside a live engine, with the real socket between them."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.contract.manifest import Input, Tensor, Window, canonical, manifest_digest
from edge_agent.contract.messages import ShadowHealth
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import StorageError
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.mirror import Mirror
from edge_agent.runtime.protocol import WorkerSpec
from edge_agent.runtime.shadow import SHADOW_CONFIG, ShadowSlot
from tests.support.models import fields, identity_model, linear_model, manifest_of
from tests.support.waiting import wait_for

TOPIC = "sensors/press/rows"


def engine(bias: float = 0.5, window: Window | None = None, **options) -> Engine:
    tensor = Tensor(name="X", source="fields", fields=fields("a", "b", "c"))
    source = Input(topic="sensors/+/rows", window=window)
    if window is None:
        model, shape, outputs = linear_model(bias=bias), (-1, 3), ("score", (-1, 1))
    else:
        shape = (-1, window.size, 3)
        model, outputs = identity_model(TensorSpec("X", "float32", shape)), ("X_out", shape)
    manifest = manifest_of(
        model,
        [TensorSpec("X", "float32", shape)],
        [TensorSpec(outputs[0], "float32", outputs[1])],
        [tensor],
        source=source,
    )
    return Engine.load(
        canonical(manifest), manifest_digest(manifest), model, device="d", slot="s", **options
    )


class Pair:
    """A live engine that mirrors to a shadow in the same process, on a thread of its own."""

    def __init__(self, folder: Path, live: Engine, shadow: Engine, cpu_share: float = 1.0) -> None:
        self.path = folder / "mirror.sock"
        self.live, self._shadow_engine, self._cpu_share = live, shadow, cpu_share
        self.mirror = self.new_mirror()
        self.answered = 0
        self.start_shadow()

    def new_mirror(self, version: int = 1) -> Mirror:
        mirror = Mirror(version=version, digest=self.live.digest)
        mirror.names = tuple(spec.name for spec in self.live.manifest.model.outputs)
        mirror.aim(str(self.path))
        return mirror

    def start_shadow(self) -> None:
        spec = WorkerSpec(
            mode="shadow", device="d", slot="s-shadow", version=2,
            digest=self._shadow_engine.digest, manifest_file="", blob_files={},
            mirror_path=str(self.path), shadows="s", cpu_share=self._cpu_share,
        )  # fmt: skip
        self.counters = Counters()
        self.shadow = ShadowSlot(self._shadow_engine, self.counters, spec)
        ear = self.shadow.listen()
        self._thread = threading.Thread(target=self.shadow.run, args=(ear,))
        self._thread.start()

    def stop_shadow(self) -> None:
        self.shadow.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.shadow.close()

    def close(self) -> None:
        self.mirror.close()
        self.stop_shadow()

    def ask(self, payload: object, topic: str = TOPIC) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        answer = self.live.answer(topic, data, 0.0)
        self.answered += answer is not None
        self.mirror.note(
            topic,
            data,
            "",
            0.0,
            code=answer.code if answer is not None else "",
            runs=answer.runs if answer is not None and answer.ok else None,
        )
        self.mirror.send()

    def await_health(self, is_there: Callable[[ShadowHealth], bool]) -> ShadowHealth:
        def found() -> ShadowHealth | None:
            self.mirror.catch_up()
            health = self.shadow.compared()
            return health if is_there(health) else None

        return wait_for(found, timeout_s=30, what=lambda: str(self.shadow.compared()))

    def await_all(self) -> ShadowHealth:
        return self.await_health(lambda h: h.seen + sum(h.shed.values()) == self.answered)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    pairs: list[Pair] = []

    def make(live: Engine, shadow: Engine, **options) -> Pair:
        pairs.append(Pair(tmp_path, live, shadow, **options))
        return pairs[-1]

    yield make
    for made in pairs:
        made.close()


def row(number: int) -> dict[str, int]:
    return {"a": number, "b": 1, "c": 2}


def test_two_equal_versions_agree_on_every_message(pair):
    both = pair(engine(), engine(config=SHADOW_CONFIG))
    for number in range(20):
        both.ask(row(number))
    both.ask(b"no JSON")
    found = both.await_all()
    assert (found.seen, found.agreed, found.failed, found.max_difference) == (21, 21, 0, 0)
    assert found.of == "s"
    assert both.counters.messages_out == 20
    assert both.counters.run.count == 20


def test_versions_that_differ_say_by_how_much(pair):
    both = pair(engine(), engine(bias=2.0, config=SHADOW_CONFIG))
    for number in range(20):
        both.ask(row(number))
    found = both.await_all()
    assert (found.seen, found.agreed) == (20, 0)
    assert found.max_difference == pytest.approx(1.5)


def test_topics_need_not_match_what_the_module_was_built_for(pair):
    live = engine()
    both = pair(live, engine(config=SHADOW_CONFIG))
    both.mirror.note("else/where", b'{"a": 1, "b": 1, "c": 1}', "", 0.0, code="x")
    both.mirror.send()
    found = both.await_health(lambda h: h.seen == 1)
    assert found.failed == 1  # the shadow had an answer


def test_a_flood_is_shed_and_every_message_is_counted(pair):
    both = pair(engine(), engine(config=SHADOW_CONFIG), cpu_share=0.05)
    for number in range(3000):
        both.ask({**row(number), "pad": "x" * 1000})
    found = both.await_all()
    assert found.shed["full"] > 0
    assert found.agreed == found.seen


def test_counts_add_up_over_a_new_worker_of_the_same_version(pair):
    both = pair(engine(), engine(config=SHADOW_CONFIG))
    both.ask(row(1))
    both.ask(b"x" * (32 << 20))
    both.await_all()
    both.mirror.close()
    both.mirror = both.new_mirror()
    both.ask(row(2))
    found = both.await_all()
    assert (found.seen, found.shed) == (2, {"too_large": 1})


def test_counts_begin_anew_with_another_version(pair):
    both = pair(engine(), engine(config=SHADOW_CONFIG))
    both.ask(row(1))
    both.await_all()
    both.mirror.close()
    both.live = engine(bias=9.0)
    both.mirror = both.new_mirror(version=7)
    both.ask(row(2))
    found = both.await_health(lambda h: h.version == 7)
    assert (found.seen, found.agreed) == (1, 0)


def test_a_shadow_that_comes_back_goes_on_with_counts_of_its_own(pair):
    both = pair(engine(), engine(config=SHADOW_CONFIG))
    both.ask(row(1))
    both.await_all()
    both.stop_shadow()
    assert not both.path.exists()
    both.ask(row(2))
    both.start_shadow()

    def is_heard(health: ShadowHealth) -> bool:
        if not health.seen:
            both.ask(row(3))
        return health.seen > 0

    found = both.await_health(is_heard)
    assert found.agreed == found.seen


@pytest.mark.parametrize("window", [Window(size=4, step=2), Window(size=5, step=3)])
def test_windows_of_a_shadow_hold_the_rows_that_those_of_its_slot_hold(pair, window: Window):
    live = engine(window=window)
    for number in range(7):
        live.answer(TOPIC, json.dumps(row(number)).encode(), 0.0)
    both = pair(live, engine(window=window, config=SHADOW_CONFIG))
    for number in range(7, 40):
        both.ask(row(number))
        both.ask(row(-number), "sensors/other/rows")
    found = both.await_all()
    assert found.seen > 5
    assert found.agreed == found.seen
    assert set(found.shed) == {"window"}


def test_rows_that_were_missed_do_not_mix_into_a_window(pair):
    window = Window(size=3, step=3)
    both = pair(engine(window=window), engine(window=window, config=SHADOW_CONFIG))
    for number in range(9):
        both.ask(row(number))
    both.mirror.note(TOPIC, b"x" * (32 << 20), "", 0.0)  # a row that is too large to be sent
    both.mirror.send()
    for number in range(9, 30):
        both.ask(row(number))
    found = both.await_all()
    assert found.agreed == found.seen > 0


def test_a_request_fills_the_window_of_its_source(pair):
    both = pair(engine(), engine(config=SHADOW_CONFIG))
    both.mirror.note(f"{TOPIC}/request/7", json.dumps(row(1)).encode(), "", 0.0, code="x")
    both.mirror.note(TOPIC, json.dumps(row(1)).encode(), "", 0.0, code="reply_refused")
    both.mirror.send()
    found = both.await_health(lambda h: h.seen == 1 and bool(h.shed))
    assert found.shed == {"reply_refused": 1}


def test_what_is_no_packet_is_stepped_over(pair):
    both = pair(engine(), engine(config=SHADOW_CONFIG))
    both.shadow.take(b"nonsense")
    both.ask(row(1))
    assert both.await_all().agreed == 1


def test_a_shadow_of_its_own_version_says_so(pair):
    live = engine()
    both = pair(live, engine(config=SHADOW_CONFIG))
    own = both.counters.health(module="m", version=2, digest="d", pid=1)
    assert both.shadow.health(own).notes == ()
    both.ask(row(1))
    both.await_all()
    assert "same version" in both.shadow.health(own).notes[0]


def test_a_shadow_that_cannot_listen_says_why(tmp_path: Path):
    spec = WorkerSpec(
        mode="shadow", device="d", slot="s", version=1, digest="d", manifest_file="",
        blob_files={}, mirror_path=str(tmp_path / "no" / "m.sock"), shadows="x",
    )  # fmt: skip
    shadow = ShadowSlot(engine(config=SHADOW_CONFIG), Counters(), spec)
    with pytest.raises(StorageError) as caught:
        shadow.listen()
    shadow.close()
    assert caught.value.code == "shadow_deaf"
