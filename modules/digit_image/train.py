"""Trains the digit module on the first 1,297 of scikit-learn's packaged digits.

Run it: python modules/digit_image/train.py
"""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.svm import SVC

from cloud_sync.authoring.convert import convert_sklearn, parity_gate, predict_onnx
from cloud_sync.authoring.score_bins import profile_of
from cloud_sync.authoring.trained import Report, Trained, printed, quiet, save_trained

HERE = Path(__file__).resolve().parent
TRAINING_ROWS = 1_297
SIDE = 8
SCALE = 0.00392156862745098  # as in module.toml: a pixel of 255 becomes 1
GOLDEN_CASES = 20
TOLERANCE = 1e-4


def load() -> tuple[np.ndarray, np.ndarray]:
    """All digits as pixels: uint8 [1797, 8, 8], and 0 to 9, int64."""
    digits = load_digits()
    # The data set counts ink from 0 to 16.
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return pixels, digits.target.astype(np.int64)


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The pictures that no training sees: uint8 [500, 8, 8] and their digits."""
    pixels, labels = load()
    return pixels[TRAINING_ROWS:], labels[TRAINING_ROWS:]


def features(pixels: np.ndarray) -> np.ndarray:
    """What the device makes of a picture: float32 [N, 64], 0 to 1."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    return flat * np.float32(SCALE)


def payload(pixels: np.ndarray) -> bytes:
    """A picture as a camera sends it: PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels, mode="L").save(file, format="PNG")
    return file.getvalue()


def train(out: Path = HERE, *, penalty: float = 10.0, report: Report = quiet) -> Trained:
    """Train, convert, compare, score, and write the module's folder.

    Args:
        out: folder for the model, golden cases and scores.
        penalty: C of the support vector machine.
        report: told about each step.
    """
    report("reading the digits", None)
    pixels, labels = load()
    rows = features(pixels)
    report(f"training on {TRAINING_ROWS} pictures", 0.0)
    machine = SVC(C=penalty, gamma="scale")
    machine.fit(rows[:TRAINING_ROWS], labels[:TRAINING_ROWS])
    report(f"training on {TRAINING_ROWS} pictures", 1.0)

    report("converting to ONNX", None)
    model = convert_sklearn(machine, rows[:1])
    test_rows, test_labels = rows[TRAINING_ROWS:], labels[TRAINING_ROWS:]
    report(f"comparing on {len(test_rows)} held-out pictures", None)
    parity = parity_gate(machine, model, test_rows, TOLERANCE)
    predicted, spread = predict_onnx(model, test_rows)[:2]
    metrics = {
        "accuracy": float(np.mean(predicted == test_labels)),
        "held_out_pictures": float(len(test_rows)),
    }
    chosen = np.arange(GOLDEN_CASES) + TRAINING_ROWS
    expected = machine.predict(rows[chosen])
    scores = machine.decision_function(rows[chosen])
    cases = [
        {
            "name": f"held-out picture {index}",
            "payload_base64": base64.b64encode(payload(pixels[index])).decode("ascii"),
            "outputs": {"label": int(label), "probabilities": [float(s) for s in row]},
        }
        for index, label, row in zip(chosen, expected, scores, strict=True)
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
