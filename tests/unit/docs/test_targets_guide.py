"""The guide of targets says what the code does."""

import re
from pathlib import Path

import pytest

from cloud_sync.cli.main import app
from cloud_sync.fleet.expression_reader import ExpressionError, read_expression
from cloud_sync.fleet.layers import KEYS
from cloud_sync.rollout import choice, fitness

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "targets.md").read_text()
TABLE = GUIDE.split("## Groups")[0]
WRITTEN = [
    text
    for line in TABLE.splitlines()
    if line.startswith("| `")
    for text in re.findall(r"`([^`]+)`", line.split("|")[1])
    if text != "( )" and "A" not in text
]


@pytest.mark.parametrize("text", WRITTEN)
def test_every_expression_of_the_table_can_be_read(text: str) -> None:
    read_expression(text)


def test_the_error_of_the_guide_is_the_one_that_is_shown() -> None:
    with pytest.raises(ExpressionError) as caught:
        read_expression("site=oslo adn pump")
    assert f"error: {caught.value.text}\n" in GUIDE


def test_every_command_of_the_guide_is_there() -> None:
    import typer

    root = typer.main.get_command(app)
    for line in re.findall(r"^shoal (.+)$", GUIDE, re.MULTILINE):
        first, *rest = line.split()
        command = root.commands[first]  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        assert below is None or rest[0] in below, line


def test_every_obstacle_and_every_key_is_in_the_guide() -> None:
    sources = [Path(str(module.__file__)).read_text() for module in (choice, fitness)]
    codes = set(
        re.findall(r'"([a-z]+_(?:unsupported|missing|short|not_found))"', " ".join(sources))
    )
    assert len(codes) == 6
    assert {code for code in codes if f"`{code}`" not in GUIDE} == set()
    assert {key for key in KEYS if f"`{key}`" not in GUIDE} == set()
