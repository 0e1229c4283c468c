"""Models of the registry as the build of a module needs them: fetched only when asked for."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from cloud_sync.cli.session import open_client


@contextmanager
def registered_models(context: typer.Context) -> Iterator[Callable[[str, str], Path]]:
    """Hand out a function that downloads a file of a registered model.

    The files live as long as the context: publish inside it. The service is asked only if a
    module names a registered model; everything else is built without it.
    """
    with tempfile.TemporaryDirectory(prefix="shoal-model-") as folder:

        def fetch(ref: str, file: str) -> Path:
            from cloud_sync.cli.bars import transfer_bars
            from cloud_sync.client.files import target_of
            from cloud_sync.client.versions import parse_exact

            name, version = parse_exact("model", ref)
            with open_client(context) as client, transfer_bars() as bars:
                model = client.models.show(name, version)
                blob = client.models.file_of(model, file)
                target = target_of(Path(folder) / name / str(version), blob.path)
                client.blobs.download(blob, target, bars)
            return target

        yield fetch
