"""Scores are counted by the bins of the profile: run by run, row by row, whatever their type."""

import json
import math

import numpy as np
import pytest

from edge_agent.contract.manifest import Health, Tensor, canonical, manifest_digest
from edge_agent.contract.scores import Profile, ScoreBins
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.counters import Counters
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.live import LiveSlot
from edge_agent.runtime.message import Incoming
from edge_agent.runtime.outputs import RunOutputs
from edge_agent.runtime.scores import ScoreCounts
from tests.support.models import fields, linear_model, manifest_of

NUMBERS = TensorSpec("score", "float32", (-1, 2))
LABELS = TensorSpec("label", "int64", (-1,))
HALVES = ScoreBins(edges=(0.5,), counts=(1, 1, 0))
TENTHS = ScoreBins(edges=(0.1, 0.2), counts=(1, 1, 1, 0))
NAN = math.nan


def counted(spec: TensorSpec, columns: tuple[ScoreBins, ...], *arrays: np.ndarray):
    scores = ScoreCounts(0, spec, columns)
    for array in arrays:
        scores.add(RunOutputs([array]))
    return scores.counts()


def test_an_edge_belongs_to_the_bin_below_it():
    rows = np.array([[0.5, 0.2], [0.6, 0.3], [NAN, math.inf]], dtype=np.float32)
    # 0.2 as float32 is above 0.2 as float64.
    assert counted(NUMBERS, (HALVES, TENTHS), rows) == (1, 1, 1, 0, 0, 3, 0)


@pytest.mark.parametrize("rows", [1, 10, 7, 8, 9, 1000])
def test_many_rows_are_counted_as_few_are(rows: int):
    chance = np.random.default_rng(7)
    table = chance.random((rows, 2)).astype(np.float32)
    table[chance.random((rows, 2)) < 0.1] = NAN
    table[0, 0] = 0.5
    together = counted(NUMBERS, (HALVES, TENTHS), table)
    one_by_one = counted(NUMBERS, (HALVES, TENTHS), *(table[at : at + 1] for at in range(rows)))
    assert together == one_by_one
    assert sum(together) == 2 * rows


def test_labels_have_a_bin_each_and_unheard_ones_share_the_last():
    labels = ScoreBins(labels=(0, 3), counts=(1, 1, 0))
    assert counted(LABELS, (labels,), np.array([0, 3, 3, 9])) == (1, 2, 1)
    texts = ScoreBins(labels=("a",), counts=(1, 0))
    assert counted(TensorSpec("l", "string", (-1,)), (texts,), np.array(["a", "b"], "O")) == (1, 1)


def test_a_model_without_rows_gives_one_row():
    columns = (HALVES, HALVES)
    assert counted(TensorSpec("y", "float32", (2,)), columns, np.array([0.1, 0.9])) == (
        *(1, 0, 0),
        *(0, 1, 0),
    )
    assert counted(TensorSpec("y", "float32", ()), (HALVES,), np.array(0.9)) == (0, 1, 0)


def test_a_row_shorter_or_longer_than_the_profiles_is_no_fault():
    free = TensorSpec("y", "float32", (-1, -1))
    assert counted(free, (HALVES, HALVES), np.zeros((2, 1), np.float32)) == (2, 0, 0, 0, 0, 0)
    assert counted(free, (HALVES,), np.zeros((40, 3), np.float32)) == (40, 0, 0)


def engine_with(profile: Profile | None) -> Engine:
    model = linear_model()
    manifest = manifest_of(
        model,
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="fields", fields=fields("a", "b", "c"))],
        **({"health": Health(profile=profile)} if profile is not None else {}),
    )
    engine = Engine.load(
        canonical(manifest), manifest_digest(manifest), model, device="d", slot="s"
    )
    engine.warm_up()
    return engine


def answer_rows(engine: Engine, rows: list[float]) -> tuple[int, ...]:
    counters = Counters()
    slot = LiveSlot(engine, counters, lambda _: True)
    payloads = [json.dumps({"a": row, "b": 0, "c": 0}).encode() for row in rows]
    slot.offer(
        [
            Incoming(topic="sensors/x/rows", payload=payload, received_s=0.0)
            for payload in (*payloads, b"no row")
        ]
    )
    while slot.due(0.0) is not None:
        slot.run(0.0)
        slot.sent(0.0)
    return counters.health(module="m", version=1, digest="d", pid=1).scores


def test_a_worker_counts_the_scores_of_its_answers_once_each():
    alone = engine_with(None)
    score = float(alone.answer("sensors/x/rows", b'{"a":1,"b":0,"c":0}', 0.0).first[0])
    bins = ScoreBins(edges=(score / 2, score * 1.5), counts=(1, 1, 1, 0))
    profile = Profile(output="score", columns=(bins,))
    assert score > 0
    found = answer_rows(engine_with(profile), [1.0] * 70 + [-1000.0, 1000.0, 1000.0])
    assert sum(found) == 73, "what shared a run is counted once, what failed not at all"
    assert found[1] == 70


def test_a_module_without_a_profile_counts_nothing():
    assert answer_rows(engine_with(None), [1.0]) == ()
