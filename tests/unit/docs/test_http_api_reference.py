import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_http_api_page_is_what_the_service_says():
    path = ROOT / "docs" / "generate_http_api.py"
    spec = importlib.util.spec_from_file_location("generate_http_api", path)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    page = generator.page()
    assert page.count("/v1/") > 25
    assert generator.PAGE.read_text() == page, "run: python docs/generate_http_api.py"
