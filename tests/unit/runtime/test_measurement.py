"""What a short measurement of a model makes of the times that it saw."""

from collections.abc import Sequence

import numpy as np
import pytest

from edge_agent.contract.manifest import Manifest, Runtime, Tensor
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import ModelError
from edge_agent.runtime.measurement import (
    FEWEST_RUNS,
    MOST_RUNS,
    batch_gain,
    batch_pays,
    shortest_run_us,
    takes_batches,
    thread_counts,
    threads_worth_having,
    zeros,
)
from edge_agent.runtime.protocol import Measured
from edge_agent.runtime.session import Array, Feed
from tests.support.models import manifest_of


class Model:
    """Takes a time on its own clock: one for each run, and one for each row."""

    def __init__(self, run_us: float, row_us: float = 0.0, first_us: float = 0.0) -> None:
        self.run_us, self.row_us, self.first_us = run_us, row_us, first_us
        self.now_s = 0.0
        self.runs = 0
        self.most_rows = 10**6
        self.answers_rows = True

    def clock(self) -> float:
        return self.now_s

    def run(self, output_names: Sequence[str], feed: Feed) -> list[Array]:
        rows = len(feed["X"])
        if rows > self.most_rows:
            raise ModelError("one row at a time, please")
        self.runs += 1
        self.now_s += (self.run_us + rows * self.row_us + self.first_us / self.runs**2) / 1e6
        return [np.zeros((rows if self.answers_rows else 1, 1), np.float32)]


def module(
    shape: tuple[int, ...] = (-1, 3),
    out: tuple[int, ...] = (-1, 1),
    runtime: Runtime | None = None,
) -> Manifest:
    return manifest_of(
        b"",
        [TensorSpec("X", "float32", shape)],
        [TensorSpec("score", "float32", out)],
        [Tensor(name="X", source="array")],
        runtime=runtime,
    )


@pytest.mark.parametrize(
    ("limit", "counts"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (4, (1, 2, 4)), (6, (1, 2, 4, 6))],
)
def test_every_doubling_and_the_limit_are_tried(limit: int, counts: tuple[int, ...]) -> None:
    assert thread_counts(limit) == counts


@pytest.mark.parametrize(
    ("times_us", "threads"),
    [
        ({1: 1000}, 1),
        ({1: 1000, 2: 980}, 1),
        ({1: 1000, 2: 800}, 1),
        ({1: 1000, 2: 700}, 2),
        ({1: 1000, 2: 600, 4: 550}, 2),
        ({1: 1000, 2: 600, 4: 350}, 4),
        # Half as many again need only half the gain.
        ({1: 1000, 2: 600, 4: 350, 6: 300}, 6),
        # Two that are no help do not hide four that are.
        ({1: 1000, 2: 900, 4: 300}, 4),
    ],
)
def test_more_threads_must_be_clearly_faster(times_us: dict[int, float], threads: int) -> None:
    assert threads_worth_having(times_us) == threads


def test_the_shortest_run_counts_and_the_first_does_not() -> None:
    model = Model(run_us=100.0, first_us=50_000.0)
    found = shortest_run_us(model, ["score"], {"X": np.zeros((1, 3), np.float32)}, model.clock)
    assert found == pytest.approx(100.0 + 50_000.0 / model.runs**2)


@pytest.mark.parametrize(("run_us", "runs"), [(10.0, MOST_RUNS), (5_000_000.0, FEWEST_RUNS)])
def test_a_cheap_model_is_run_often_and_a_dear_one_not(run_us: float, runs: int) -> None:
    model = Model(run_us)
    shortest_run_us(model, ["score"], {"X": np.zeros((1, 3), np.float32)}, model.clock)
    assert model.runs == runs + 1


def test_a_batch_is_compared_with_its_rows_one_by_one() -> None:
    model = Model(run_us=9.0, row_us=1.0)
    rows, gain = batch_gain(model, module(), 10.0, model.clock)
    assert rows == 32
    assert gain == pytest.approx(32 * 10.0 / (9.0 + 32.0), abs=0.01)


@pytest.mark.parametrize(
    ("manifest", "run_us"),
    [
        (module((1, 3)), 10.0),
        (module(out=(1, 1)), 10.0),
        (module(runtime=Runtime(max_batch=1)), 10.0),
        (module(), 60_000.0),
    ],
    ids=["one row in", "one row out", "batches are off", "a run takes too long"],
)
def test_what_takes_no_batch_is_not_tried(manifest: Manifest, run_us: float) -> None:
    model = Model(run_us)
    assert batch_gain(model, manifest, run_us, model.clock) == (0, 1.0)
    assert model.runs == 0


def test_a_slow_model_is_tried_with_few_rows() -> None:
    model = Model(run_us=0.0, row_us=20_000.0)
    assert batch_gain(model, module(), 20_000.0, model.clock) == (4, 1.0)


def test_large_inputs_are_tried_with_few_rows() -> None:
    pictures = module((-1, 3, 512, 256))
    model = Model(run_us=0.0, row_us=100.0)
    assert batch_gain(model, pictures, 100.0, model.clock) == (2, 1.0)


def test_a_model_that_breaks_its_promise_takes_no_batch() -> None:
    picky, merging = Model(10.0), Model(10.0)
    picky.most_rows = 1
    merging.answers_rows = False
    assert batch_gain(picky, module(), 10.0, picky.clock) == (0, 1.0)
    assert batch_gain(merging, module(), 10.0, merging.clock) == (0, 1.0)


def test_constants_do_not_keep_a_model_from_batches() -> None:
    inputs = [TensorSpec("X", "float32", (-1, 3)), TensorSpec("limit", "float32", (1,))]
    manifest = manifest_of(
        b"",
        inputs,
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="array"), Tensor(name="limit", source="constant", value=[1.0])],
    )
    assert takes_batches(manifest)
    assert not takes_batches(module((3,)))
    feed = zeros(inputs, 5)
    assert (feed["X"].shape, feed["limit"].shape) == ((5, 3), (1,))


def test_a_feed_has_every_type_and_shape() -> None:
    feed = zeros([TensorSpec("s", "string", (-1, -1, 2)), TensorSpec("n", "int64", ())])
    assert feed["s"].tolist() == [[["", ""]]]
    assert feed["n"].shape == ()
    assert feed["n"].dtype == np.int64


@pytest.mark.parametrize(
    ("measured", "pays"),
    [
        (None, True),
        (Measured(), True),
        (Measured(run_us=10, batch_rows=32, batch_gain=7.0), True),
        (Measured(run_us=900, batch_rows=32, batch_gain=1.05), False),
        (Measured(run_us=900), False),
    ],
)
def test_batches_pay_unless_they_were_tried_in_vain(measured: Measured | None, pays: bool) -> None:
    assert batch_pays(measured) is pays
