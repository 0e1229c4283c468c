"""The base install is the device: it must stand alone, without the service's dependencies."""

import subprocess
from pathlib import Path

import pytest

from tests.support.clean_install import install_base


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_base_alone_imports_every_module_of_the_agent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = install_base(tmp_path)

    assert found.imported_from.is_relative_to(tmp_path)
    assert found.modules > 20
    assert not found.cloud_was_imported
    for absent in ("litestar", "sqlalchemy", "sklearn", "onnx"):
        assert not (found.site / absent).exists(), f"{absent} belongs to an extra"
    agent = tmp_path / "venv" / "bin" / "edge-agent"
    help_text = subprocess.run(
        [agent, "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "explain" in help_text
    with capsys.disabled():
        print(
            f"\nbase install: {found.size_mb:.0f} MB, "
            f"{found.modules} modules imported in {found.import_ms:.0f} ms"
        )
