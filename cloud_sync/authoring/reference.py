"""The reference modules: where they are, and how their training is called.

In a clone they are the folder `modules`, in an installed package they travel inside it.
"""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Final

from cloud_sync.errors import ModuleError
from edge_agent.contract.names import did_you_mean

_PACKAGE: Final = Path(__file__).resolve().parent.parent
_PLACES: Final = (_PACKAGE.parent / "modules", _PACKAGE / "reference_modules")


def reference_module(name: str) -> Path:
    """The folder of a reference module.

    Args:
        name: of the folder, for example `shuttle_anomaly`.

    Raises:
        ModuleError: there is none of this name.
    """
    for place in _PLACES:
        if (place / name / "module.toml").is_file():
            return place / name
    known = {p.parent.name for place in _PLACES for p in place.glob("*/module.toml")}
    raise ModuleError(
        f"there is no reference module {name!r}",
        hint=did_you_mean(name, known),
        code="module_missing",
    )


def load_training(folder: Path) -> ModuleType:
    """Import the `train.py` of a module's folder under a name of its own.

    Every reference module's has `train(out, *, report=..., ...) -> Trained` and
    `held_out() -> (rows, labels)`; see the file for the rest of its parameters. It runs the
    file's code: only for modules of one's own.

    Raises:
        ModuleError: the folder has no train.py.
    """
    path = folder / "train.py"
    spec = importlib.util.spec_from_file_location(f"shoal_training_{folder.name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ModuleError(
            f"{path} is missing", code="module_missing", hint="name one of the folders of modules/"
        )
    training = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(training)
    return training
