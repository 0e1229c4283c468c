"""`measured.json`: what was measured of a model, beside the model that it was measured on.

Written by a `train.py` and by `shoal module profile`, read by the build. It names the model by its
digest, so that the scores of one model never end up in the manifest of another.
"""

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from cloud_sync.errors import ModuleError
from edge_agent.contract.manifest import Digest, Parity
from edge_agent.contract.scores import Profile

MEASURED_FILE: Final = "measured.json"

MIN_LABEL_AGREEMENT: Final = 1.0
"""Share of held-out rows on which a converted model must give the same label, if nobody says."""


class Measured(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores of one model.

    Attributes:
        model: digest of the ONNX file.
        metrics: name to score on rows that the model was not fitted on.
        parity: agreement of the ONNX file with the model it was converted from.
        profile: how its scores are spread over typical messages.
    """

    model: Digest
    metrics: dict[str, float] = {}
    parity: Parity | None = None
    profile: Profile | None = None


_decoder: Final = msgspec.json.Decoder(Measured)


def write_measured(folder: Path, measured: Measured) -> None:
    """Write `measured.json` into a module's folder."""
    text = msgspec.json.format(msgspec.json.encode(measured, order="deterministic"), indent=2)
    (folder / MEASURED_FILE).write_bytes(text + b"\n")


def read_measured(folder: Path, model_digest: str) -> Measured | None:
    """Read what training measured, if the module's folder has it.

    Args:
        folder: the module's.
        model_digest: of the model that the module is built with.

    Raises:
        ModuleError: it cannot be read, is malformed, or is about another model.
    """
    path = folder / MEASURED_FILE
    try:
        measured = _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModuleError(
            f"{path} cannot be read: {error.strerror}", hint="check the permissions of the file"
        ) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ModuleError(
            f"{path} is malformed: {error}", hint="run train.py again, or delete the file"
        ) from error
    if measured.model != model_digest:
        raise ModuleError(
            f"{path} was measured on the model {measured.model}, the module has {model_digest}",
            hint="run train.py again, or delete the file if the model is from elsewhere",
            code="measured_stale",
        )
    return measured


def parity_problem(parity: Parity, min_label_agreement: float = MIN_LABEL_AGREEMENT) -> str:
    """Why a parity is not good enough; empty if it is."""
    if parity.label_agreement < min_label_agreement:
        return (
            f"label agreement expected at least {min_label_agreement:g}, found "
            f"{parity.label_agreement:.6g} of {parity.rows} rows"
        )
    if parity.max_difference > parity.tolerance:
        return (
            f"largest difference expected at most {parity.tolerance:g}, found "
            f"{parity.max_difference:.3g} in {parity.rows} rows"
        )
    return ""
