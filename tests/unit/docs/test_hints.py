"""Every error that a person can meet says what to do: read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloud_sync.errors
import edge_agent.errors
from edge_agent.errors import ShoalError, Superseded

ROOT = Path(__file__).parents[3]
TREE = {
    name
    for module in (edge_agent.errors, cloud_sync.errors)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, ShoalError) and kind is not Superseded
}
PLACES = (
    "edge_agent/runtime/codecs",
    "edge_agent/runtime/binding",
    "edge_agent/runtime/blobs.py",
    "edge_agent/runtime/door_answers.py",
    "edge_agent/runtime/onnx_failures.py",
    "edge_agent/runtime/outputs.py",
    "edge_agent/runtime/pipeline.py",
    "edge_agent/runtime/request.py",
    "edge_agent/daemon/commands.py",
    "cloud_sync/cli",
    "cloud_sync/client/files.py",
    "cloud_sync/client/blobs.py",
    "cloud_sync/labels.py",
    "cloud_sync/authoring/observed.py",
    "cloud_sync/authoring/inspection.py",
)
"""What answers a message or a command, and what reads what a person wrote."""


def sources(place: str) -> Iterator[Path]:
    path = ROOT / place
    yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def made_without_a_hint(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        # `**` may bring one.
        has_hint = any(keyword.arg in ("hint", None) for keyword in node.keywords)
        if name in TREE and not has_hint:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    return found


@pytest.mark.parametrize("place", PLACES)
def test_who_meets_an_error_is_told_what_to_do(place: str) -> None:
    paths = list(sources(place))
    assert paths
    assert [line for path in paths for line in made_without_a_hint(path)] == []
