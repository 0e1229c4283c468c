import pytest
import typer

from cloud_sync.cli import output
from cloud_sync.cli.failure import describe
from cloud_sync.cli.options import pairs
from cloud_sync.cli.output import Cell, Column
from cloud_sync.errors import NotFound
from edge_agent.contract.failure import Failure


def test_a_table_in_a_pipe_is_aligned_whole_and_plain(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column("name"), output.right("size"), Column("text", wraps=True)]
    long = "word " * 100
    output.print_table(columns, [("a", "1 B", Cell(long, "red")), ("bcd", "12 B", "-")], "none")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "size", "text"]
    assert lines[1] == f"a      1 B  {long.rstrip()}"
    assert lines[2] == "bcd   12 B  -"
    assert "\x1b" not in "".join(lines)


def test_an_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table([Column("name")], [], "no models match")
    assert capsys.readouterr().out == "no models match\n"


def test_what_a_device_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table([Column("text")], [("\x1b[2Jgone\r\n[bold]x[/bold] :smile:",)], "none")
    output.print_line("\x1b]0;title\x07")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    assert "[bold]x[/bold] :smile:" in out


def test_facts_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_facts({"a": "1", "longer": Cell("2")})
    assert capsys.readouterr().out == "a       1\nlonger  2\n"


def test_pairs_are_read_and_anything_else_is_wrong_usage() -> None:
    assert pairs(["a=1", "b=x=y", "c="], "--tag") == {"a": "1", "b": "x=y", "c": ""}
    for wrong in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(typer.BadParameter):
            pairs(wrong, "--tag")


def test_errors_of_the_tree_speak_for_themselves() -> None:
    assert describe(NotFound("no x", hint="try y")) == Failure("not_found", "no x", "try y")
    assert describe(PermissionError(13, "Permission denied", "/x")) == Failure(
        "system", "/x: Permission denied"
    )
    fault = describe(KeyError("x"))
    assert (fault.code, fault.text) == ("internal", "KeyError: 'x'")
    assert "SHOAL_TRACEBACK=1" in fault.hint
