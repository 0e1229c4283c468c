"""The reference modules train on real data, build from what training leaves, and score as said."""

import pytest

from cloud_sync.authoring.build import build
from cloud_sync.authoring.reference import load_training, reference_module
from cloud_sync.errors import ModuleError

SCORES = {
    "shuttle_anomaly": ("f1", 0.998),
    "motion_window": ("accuracy", 0.97),
    "digit_image": ("accuracy", 0.95),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_reference_module_trains_builds_and_scores(tmp_path, name):
    steps = []
    training = load_training(reference_module(name))
    trained = training.train(tmp_path / name, report=lambda step, fraction: steps.append(step))
    metric, least = SCORES[name]
    assert trained.metrics[metric] >= least
    assert trained.parity.label_agreement == 1.0

    built = build(tmp_path / name)
    assert built.manifest.metrics == trained.metrics
    assert built.manifest.parity == trained.parity
    assert built.manifest.model.blob.digest == trained.model_digest
    assert built.rehearsal.cases >= 8
    assert built.warnings == ()
    assert steps


def test_training_twice_gives_the_same_model_and_another_seed_another(tmp_path):
    training = load_training(reference_module("motion_window"))
    first = training.train(tmp_path / "a", trees=10)
    again = training.train(tmp_path / "b", trees=10)
    other = training.train(tmp_path / "c", trees=10, seed=8)
    assert first.model_digest == again.model_digest
    assert first.model_digest != other.model_digest


def test_a_clean_clone_says_how_to_make_the_model(tmp_path):
    folder = tmp_path / "shuttle_anomaly"
    folder.mkdir()
    for name in ("module.toml", "train.py"):
        source = reference_module("shuttle_anomaly") / name
        (folder / name).write_bytes(source.read_bytes())
    with pytest.raises(ModuleError, match="is missing") as caught:
        build(folder)
    assert caught.value.hint == f"run: python {folder / 'train.py'}"


def test_an_unknown_reference_module_names_the_closest():
    with pytest.raises(ModuleError) as caught:
        reference_module("shuttle_anomly")
    assert caught.value.hint == "did you mean 'shuttle_anomaly'?"
