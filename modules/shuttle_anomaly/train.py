"""Trains the shuttle anomaly module on the first 24,000 rows of the packaged Shuttle data.

Run it: python modules/shuttle_anomaly/train.py
"""

import gzip
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score, precision_score, recall_score

from cloud_sync.authoring.convert import convert_sklearn, parity_gate, predict_onnx
from cloud_sync.authoring.packaged import packaged_file
from cloud_sync.authoring.score_bins import profile_of
from cloud_sync.authoring.trained import Report, Trained, printed, quiet, save_trained

HERE = Path(__file__).resolve().parent
FEATURES = tuple(f"f{number}" for number in range(1, 10))
TRAINING_ROWS = 24_000
GOLDEN_OF_EACH_CLASS = 8
TOLERANCE = 1e-5


def load() -> tuple[np.ndarray, np.ndarray]:
    """All rows in the order of the file: float32 [49097, 9], and 1 for an anomaly, int64."""
    path = packaged_file("river", "datasets/shuttle.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        if header != [*FEATURES, "anomaly"]:
            raise SystemExit(f"{path} has the columns {header}, expected {FEATURES} and anomaly")
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    return table[:, :9], table[:, 9].astype(np.int64)


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The rows that no training sees, in order: float32 [25097, 9] and their labels."""
    rows, labels = load()
    return rows[TRAINING_ROWS:], labels[TRAINING_ROWS:]


def message(row: np.ndarray) -> dict[str, float]:
    """A row as a sensor sends it."""
    return {name: float(value) for name, value in zip(FEATURES, row, strict=True)}


def train(
    out: Path = HERE,
    *,
    trees: int = 100,
    depth: int = 10,
    seed: int = 7,
    rows_limit: int = TRAINING_ROWS,
    report: Report = quiet,
) -> Trained:
    """Train, convert, compare, score, and write the module's folder.

    Args:
        out: folder for the model, golden cases and scores.
        trees: in the forest.
        depth: of each tree at most.
        seed: of the forest; the same seed and versions give the same file.
        rows_limit: train on fewer rows.
        report: told about each step.
    """
    report("reading the Shuttle data", None)
    rows, labels = load()
    fit_rows = min(rows_limit, TRAINING_ROWS)
    forest = RandomForestClassifier(0, max_depth=depth, random_state=seed, warm_start=True)
    report(f"training {trees} trees on {fit_rows} rows", 0.0)
    for grown in [*range(10, trees, 10), trees]:
        forest.set_params(n_estimators=grown)
        forest.fit(rows[:fit_rows], labels[:fit_rows])
        report(f"training {trees} trees on {fit_rows} rows", grown / trees)

    report("converting to ONNX", None)
    model = convert_sklearn(forest, rows[:1])
    test_rows, test_labels = rows[TRAINING_ROWS:], labels[TRAINING_ROWS:]
    report(f"comparing on {len(test_rows)} held-out rows", None)
    parity = parity_gate(forest, model, test_rows, TOLERANCE)
    predicted, spread = predict_onnx(model, test_rows)[:2]
    metrics = {
        "f1": float(f1_score(test_labels, predicted)),
        "precision": float(precision_score(test_labels, predicted)),
        "recall": float(recall_score(test_labels, predicted)),
        "held_out_rows": float(len(test_rows)),
    }
    chosen = np.concatenate(
        [np.flatnonzero(test_labels == label)[:GOLDEN_OF_EACH_CLASS] for label in (0, 1)]
    )
    # The forest's own answers, so that each device repeats the comparison that was made here.
    expected = forest.predict(test_rows[chosen])
    scores = forest.predict_proba(test_rows[chosen])
    cases = [
        {
            "name": f"held-out row {index}",
            "payload": message(test_rows[index]),
            "outputs": {"label": int(label), "probabilities": [float(p) for p in probabilities]},
        }
        for index, label, probabilities in zip(chosen, expected, scores, strict=True)
    ]
    return save_trained(
        out,
        HERE,
        model=model,
        cases=cases,
        metrics=metrics,
        parity=parity,
        profile=profile_of("probabilities", spread.tolist()),
    )


if __name__ == "__main__":
    trained = train(report=printed)
    for name, value in trained.metrics.items():
        print(f"{name} {value:.6g}")
    print(f"parity {trained.parity}")
