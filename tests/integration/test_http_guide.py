"""Every example of the HTTP guide, run as it is written, against a real device."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_device import http_device

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "http.md"
ADDRESS = "127.0.0.1:8090"
BLOCK = re.compile(
    r"^```(sh|python)\n(.*?)^```\n\s*^```(json|text)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
EXAMPLES = BLOCK.findall(GUIDE.read_text())


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("guide")
    with http_device(folder) as device:
        device.install(folder / "module", name="pump-wear")
        # The longest part is the trial on live messages, of which there are none.
        device.cloud.await_slot("pump-wear", lambda slot: slot.phase == "active", timeout_s=60)
        yield device.address


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("language", "code", "kind", "shown"), EXAMPLES)
def test_an_example_does_what_the_guide_shows(
    address: str, language: str, code: str, kind: str, shown: str
) -> None:
    command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
    assert ADDRESS in code
    done = subprocess.run(
        [*command, code.replace(ADDRESS, address)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if kind == "json":
        assert json.loads(done.stdout) == json.loads(shown)
    else:
        assert done.stdout.split() == shown.split()


def test_the_guide_has_examples() -> None:
    assert len(EXAMPLES) == GUIDE.read_text().count("```sh") + GUIDE.read_text().count("```python")
    assert len(EXAMPLES) >= 6
