"""The fields of a struct are options of every command that asks for it."""

from typing import Annotated

import typer
from msgspec import Struct
from typer.testing import CliRunner

from cloud_sync.cli.spread import spread


class Paint(Struct, frozen=True, kw_only=True):
    """How something looks."""

    colour: Annotated[str, typer.Option("--colour", help="Its colour.")]
    is_glossy: Annotated[bool, typer.Option("--glossy", help="Whether it shines.")] = False


class Size(Struct, frozen=True, kw_only=True):
    """How large it is."""

    metres: Annotated[float, typer.Option("--metres", min=0)] = 1.0


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    @app.command()
    @spread
    def draw(
        *,
        what: Annotated[str, typer.Argument(metavar="WHAT")],
        paint: Paint,
        size: Size,
        times: Annotated[int, typer.Option("--times")] = 1,
    ) -> None:
        """Draw something."""
        print(what, paint, size.metres, times)

    outcome = CliRunner().invoke(app, list(arguments))
    return outcome.exit_code, outcome.output


def test_a_command_is_given_the_structs_made_of_its_options() -> None:
    typed = ("door", "--glossy", "--colour", "red", "--metres", "2", "--times", "3")
    assert run(*typed) == (0, "door Paint(colour='red', is_glossy=True) 2.0 3\n")


def test_fields_keep_their_defaults_and_one_without_is_required() -> None:
    assert run("door", "--colour", "red") == (
        0,
        "door Paint(colour='red', is_glossy=False) 1.0 1\n",
    )
    code, said = run("door")
    assert code == 2
    assert "--colour" in said


def test_the_help_shows_them_with_their_own_words_in_the_place_of_the_struct() -> None:
    code, said = run("--help")
    assert code == 0
    assert "Draw something." in said
    assert "Its colour." in said
    assert said.index("--colour") < said.index("--glossy") < said.index("--times")
