"""How far a download is: by what is on the disk, in whole files and in parts."""

from pathlib import Path

from edge_agent.contract.manifest import read_manifest
from edge_agent.reconcile.progress import Progress, progress_of
from edge_agent.store.blobs import BlobStore
from tests.support.models import build_module


def test_progress_counts_whole_files_and_parts(tmp_path: Path) -> None:
    built = build_module(tmp_path / "v1")
    manifest = read_manifest(built.manifest_file.read_bytes())
    model, *golden = manifest.blobs()
    files = {digest: Path(file).read_bytes() for digest, file in built.blob_files.items()}
    total = sum(len(data) for data in files.values())
    blobs = BlobStore(tmp_path / "state")
    assert progress_of(manifest, blobs) == Progress(bytes_here=0, bytes_total=total)
    for blob in golden:
        blobs.put(blob.digest, files[blob.digest])
    part = blobs.reserve(model.digest, limit=model.size, size=model.size)
    part.write(files[model.digest][:10])
    part.keep()
    here = 10 + sum(blob.size for blob in golden)
    assert progress_of(manifest, blobs) == Progress(bytes_here=here, bytes_total=total)
    blobs.put(model.digest, files[model.digest])
    assert progress_of(manifest, blobs) == Progress(bytes_here=total, bytes_total=total)
