"""The profile of a module's scores: made from messages, kept beside the model, in the manifest."""

import json
import random
from pathlib import Path

import pytest
from msgspec import UNSET

from cloud_sync.authoring.build import build
from cloud_sync.authoring.init import init_module
from cloud_sync.authoring.measured import read_measured
from cloud_sync.authoring.profile import renew_profile
from cloud_sync.authoring.score_bins import LEAST_ROWS, profile_of
from cloud_sync.errors import ModuleError
from edge_agent.contract.scores import ScoreBins, profile_problem
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.outputs import RunOutputs
from edge_agent.runtime.scores import ScoreCounts
from tests.support import onnx_zoo as zoo

np = pytest.importorskip("numpy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "wine"
    init_module(made, "wine", model_file=zoo.save(zoo.identity(), tmp_path / "their.onnx"))
    return made


def sample(tmp_path: Path, rows: list[dict]) -> Path:
    file = tmp_path / "typical.json"
    file.write_text(json.dumps(rows))
    return file


def uniform(count: int = 1000) -> list[dict]:
    chance = random.Random(5)
    return [{"f1": chance.random(), "f2": 7.0} for _ in range(count)]


def test_a_profile_made_of_messages_gets_into_the_manifest(folder: Path, tmp_path: Path):
    assert build(folder).manifest.health.profile is UNSET
    made = renew_profile(folder, sample(tmp_path, uniform()))
    assert made.warnings == ()
    profile = build(folder).manifest.health.profile
    assert profile == made.profile
    assert profile.rows == 1000
    spread, constant = profile.columns
    assert len(spread.edges) == 9
    assert max(spread.counts) < 130, "tenths"
    assert max(constant.counts) == 1000, "a score that is always the same has a bin of its own"


def test_the_same_folder_has_the_same_digest_with_a_profile(folder: Path, tmp_path: Path):
    renew_profile(folder, sample(tmp_path, uniform()))
    first = build(folder).digest
    renew_profile(folder, sample(tmp_path, uniform()))
    assert build(folder).digest == first


def test_what_training_measured_stays_beside_the_profile(folder: Path, tmp_path: Path):
    digest = build(folder).manifest.model.blob.digest
    (folder / "measured.json").write_text(json.dumps({"model": digest, "metrics": {"f1": 0.9}}))
    renew_profile(folder, sample(tmp_path, uniform()))
    measured = read_measured(folder, digest)
    assert measured is not None
    assert measured.metrics == {"f1": 0.9}
    assert measured.profile is not None


def test_messages_that_are_refused_are_left_out_and_said(folder: Path, tmp_path: Path):
    rows = [*uniform(300), *({"f1": "no number", "f2": 1.0} for _ in range(5))]
    made = renew_profile(folder, sample(tmp_path, rows))
    assert made.profile.rows == 300
    assert made.warnings == (
        "5 of 305 messages were refused, the last for " + made.warnings[0].split(" for ", 1)[1],
    )


@pytest.mark.parametrize("rows", [uniform(LEAST_ROWS - 1), [{"f1": "x", "f2": 1.0}] * 300])
def test_too_few_answers_make_no_profile(folder: Path, tmp_path: Path, rows: list[dict]):
    with pytest.raises(ModuleError, match="at least 200 rows") as caught:
        renew_profile(folder, sample(tmp_path, rows))
    assert caught.value.code == "profile_impossible"
    assert not (folder / "measured.json").exists()


def test_a_profile_of_another_output_is_refused_when_the_module_is_built(
    folder: Path, tmp_path: Path
):
    renew_profile(folder, sample(tmp_path, uniform()))
    file = folder / "measured.json"
    file.write_text(file.read_text().replace('"output": "y"', '"output": "z"'))
    with pytest.raises(ModuleError, match="output 'z'") as caught:
        build(folder)
    assert "shoal module profile" in str(caught.value)


SPEC = TensorSpec("y", "float32", (-1, 1))


def counts_of(bins: ScoreBins, scores: list[float]) -> tuple[int, ...]:
    counts = ScoreCounts(0, SPEC, (bins,))
    counts.add(RunOutputs([np.array(scores, np.float32).reshape(-1, 1)]))
    return counts.counts()


@pytest.mark.parametrize("seed", range(5))
def test_a_worker_counts_the_samples_as_their_profile_does(seed: int):
    chance = random.Random(seed)
    kinds = [lambda: chance.gauss(0, 1e-3), lambda: 0.97, lambda: chance.choice([0.1, 0.5])]
    scores = [float(np.float32(chance.choice(kinds)())) for _ in range(1000)]
    profile = profile_of("y", [[score] for score in scores])
    assert profile_problem(profile, [SPEC]) == ""
    assert counts_of(profile.columns[0], scores) == profile.columns[0].counts
    # Another processor's last digits change nothing.
    near = [float(np.nextafter(np.float32(score), np.float32(9))) for score in scores]
    assert counts_of(profile.columns[0], near) == profile.columns[0].counts


def test_labels_get_a_bin_each_the_rarest_share_one():
    rows = [[number % 40 if number < 800 else 0] for number in range(1000)]
    bins = profile_of("label", rows).columns[0]
    assert len(bins.labels) == 32
    assert sum(bins.counts) == 1000
    assert bins.counts[-1] == 8 * 20


def test_scores_that_are_no_numbers_make_no_profile():
    with pytest.raises(ModuleError, match="none that is finite"):
        profile_of("y", [[float("nan")]] * 500)
