import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_settings", ROOT / "docs" / "generate_settings.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    import sys

    sys.modules["generate_settings"] = module
    spec.loader.exec_module(module)
    return module


def test_the_settings_page_is_what_the_code_says(generator: ModuleType):
    assert generator.PAGE.read_text() == generator.page(), "run: python docs/generate_settings.py"


def test_every_setting_is_described(generator: ModuleType):
    rows = re.findall(r"^\| `(\w+)` \|.*\|(.*)\|$", generator.page(), re.MULTILINE)
    assert len(rows) > 40
    assert [key for key, text in rows if not text.strip()] == []
