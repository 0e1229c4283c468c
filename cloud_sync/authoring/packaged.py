"""Data sets that come inside installed packages, found without importing these packages.

Importing river or sktime takes seconds and much memory for the sake of one file. Never downloads.
"""

import importlib.util
from pathlib import Path

from cloud_sync.errors import ModuleError


def packaged_file(package: str, relative: str) -> Path:
    """Find a file inside an installed package.

    Args:
        package: top-level name; it is located, not imported.
        relative: path below the package's folder.

    Raises:
        ModuleError: the package or the file is not there.
    """
    spec = importlib.util.find_spec(package)
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / relative
        if path.is_file():
            return path
    what = f"has no {relative}" if spec else "is not installed"
    raise ModuleError(
        f"the package {package} {what}",
        hint="pip install 'shoal[train]'",
        code="data_missing",
    )
