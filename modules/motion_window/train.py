"""Trains the motion module on the training half of the packaged BasicMotions data.

Run it: python modules/motion_window/train.py
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from cloud_sync.authoring.convert import convert_sklearn, parity_gate, predict_onnx
from cloud_sync.authoring.packaged import packaged_file
from cloud_sync.authoring.trained import Report, Trained, printed, quiet, save_trained

HERE = Path(__file__).resolve().parent
CHANNELS = ("c1", "c2", "c3", "c4", "c5", "c6")
SIZE = 50
STEP = 25
TRAINING_STEP = 5  # overlapping windows, so that the model meets a movement at every phase
TOLERANCE = 1e-5
GOLDEN_RECORDINGS = 8


def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    """One half of the data: float32 [40, 100, 6] (recording, row, channel) and 40 labels.

    Args:
        part: "TRAIN" or "TEST".
    """
    path = packaged_file("sktime", f"datasets/data/BasicMotions/BasicMotions_{part}.ts")
    series: list[list[list[float]]] = []
    labels: list[str] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip().lower() == "@data":
                break
        for line in file:
            if line.strip():
                *channels, label = line.strip().split(":")
                series.append([[float(value) for value in c.split(",")] for c in channels])
                labels.append(label)
    return np.asarray(series, dtype=np.float32).transpose(0, 2, 1), np.asarray(labels)


def windows(recordings: np.ndarray, labels: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Every window of every recording, flat: float32 [N, 300], row after row, and N labels."""
    starts = range(0, recordings.shape[1] - SIZE + 1, step)
    cut = [r[s : s + SIZE].reshape(-1) for r in recordings for s in starts]
    return np.asarray(cut, dtype=np.float32), np.repeat(labels, len(starts))


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The windows that a device would see of the test half: float32 [120, 300], and labels."""
    return windows(*load("TEST"), STEP)


def messages(recording: np.ndarray) -> Iterator[dict[str, float]]:
    """The rows of a recording as a watch sends them."""
    for row in recording:
        yield {name: float(value) for name, value in zip(CHANNELS, row, strict=True)}


def train(
    out: Path = HERE, *, trees: int = 100, depth: int = 10, seed: int = 7, report: Report = quiet
) -> Trained:
    """Train, convert, compare, score, and write the module's folder.

    Args:
        out: folder for the model, golden cases and scores.
        trees: in the ensemble.
        depth: of each tree at most.
        seed: of the ensemble; the same seed and versions give the same file.
        report: told about each step.
    """
    report("reading the BasicMotions data", None)
    rows, labels = windows(*load("TRAIN"), TRAINING_STEP)
    report(f"training {trees} trees on {len(rows)} windows", 0.0)
    ensemble = ExtraTreesClassifier(trees, max_depth=depth, random_state=seed).fit(rows, labels)
    report(f"training {trees} trees on {len(rows)} windows", 1.0)

    report("converting to ONNX", None)
    model = convert_sklearn(ensemble, rows[:1])
    test_rows, test_labels = held_out()
    report(f"comparing on {len(test_rows)} held-out windows", None)
    parity = parity_gate(ensemble, model, test_rows, TOLERANCE)
    predicted = predict_onnx(model, test_rows)[0]
    metrics = {
        "accuracy": float(np.mean(predicted == test_labels)),
        "held_out_windows": float(len(test_rows)),
    }

    recordings, _ = load("TEST")
    chosen = range(0, len(recordings), len(recordings) // GOLDEN_RECORDINGS)
    first = np.asarray([recordings[index][:SIZE].reshape(-1) for index in chosen])
    expected = ensemble.predict(first)
    scores = ensemble.predict_proba(first)
    cases = [
        {
            "name": f"test recording {index}, first window",
            "payloads": list(messages(recordings[index][:SIZE])),
            "outputs": {"label": str(label), "probabilities": [float(p) for p in probabilities]},
        }
        for index, label, probabilities in zip(chosen, expected, scores, strict=True)
    ]
    return save_trained(out, HERE, model=model, cases=cases, metrics=metrics, parity=parity)


if __name__ == "__main__":
    trained = train(report=printed)
    for name, value in trained.metrics.items():
        print(f"{name} {value:.6g}")
    print(f"parity {trained.parity}")
