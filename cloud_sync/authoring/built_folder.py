"""The build folder of a module: its manifest, where `edge-agent infer FOLDER` finds it.

Writes only below FOLDER/build; what stands there can be deleted and built again at any time.
"""

import shutil
from pathlib import Path
from typing import Final

from cloud_sync.authoring.build import Built
from cloud_sync.errors import ModuleError
from edge_agent.contract.manifest import canonical

BUILD_FOLDER: Final = "build"
_MANIFEST_FILE: Final = "manifest.json"


def write_build(folder: Path, built: Built) -> Path:
    """Write the manifest, and beside it the files that are not in the module's folder itself.

    Args:
        folder: of the module.
        built: from it.

    Returns:
        The manifest's file.

    Raises:
        ModuleError: the folder cannot be written.
    """
    target = folder / BUILD_FOLDER
    manifest_file = target / _MANIFEST_FILE
    try:
        target.mkdir(exist_ok=True)
        for blob in built.manifest.blobs():
            if not (folder / blob.path).is_file():  # a registered model, fetched elsewhere
                name = blob.digest.removeprefix("sha256:")
                shutil.copyfile(built.files[blob.digest], target / name)
        manifest_file.write_bytes(canonical(built.manifest))
    except OSError as error:
        raise ModuleError(
            f"{target} cannot be written: {error.strerror}",
            hint="check the folder's permissions and the room on its disk",
        ) from error
    return manifest_file
