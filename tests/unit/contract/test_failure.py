"""What a command says when it fails: to a person, and to a program."""

import json
from dataclasses import dataclass

import pytest
import typer

from edge_agent.contract.failure import (
    Failure,
    UsageError,
    failure_of,
    failure_text,
    is_help,
    usage_failure,
    wants_json,
)
from edge_agent.errors import NotFound


@dataclass
class Context:
    command_path: str = "shoal deploy"


class Wrong(Exception):
    exit_code = 2

    def __init__(self, message: str, ctx: Context | None = None) -> None:
        super().__init__(message)
        self.message, self.ctx = message, ctx

    def format_message(self) -> str:
        return self.message


def test_people_get_two_lines_and_programs_one_document() -> None:
    failure = failure_of(NotFound("no line-2", hint="did you mean line-1?"))
    assert failure_text(failure, as_json=False) == (
        "error: no line-2\nwhat to do: did you mean line-1?"
    )
    assert json.loads(failure_text(failure, as_json=True)) == {
        "error": {"code": "not_found", "text": "no line-2", "hint": "did you mean line-1?"}
    }
    assert failure_text(Failure("x", "y"), as_json=False) == "error: y"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("Missing argument 'MODULE'.", "missing argument 'MODULE'"),
        ("Invalid value for '--limit': 0 is too small.", "'--limit': 0 is too small"),
        (
            "Invalid value for '--devices' / '-n': Input should be greater than or equal to 1",
            "'--devices' / '-n' expected at least 1",
        ),
        (
            "Invalid value for '--fails': Input should be less than or equal to 1",
            "'--fails' expected at most 1",
        ),
        (
            "Invalid value for '-n': Input should be a valid integer, unable to parse it",
            "'-n' expected a whole number",
        ),
        (
            "Invalid value for '--every': Input should be a valid number, unable to parse it",
            "'--every' expected a number",
        ),
        ("Invalid value for '--every': Input should be finite", "'--every' expected finite"),
        ("Invalid value: --of needs --shadow", "--of needs --shadow"),
        ("No such option: --jsn", "no such option: --jsn"),
        ("MQTT is no command", "MQTT is no command"),
    ],
)
def test_wrong_usage_is_said_as_every_other_error(message: str, text: str) -> None:
    found = usage_failure(Wrong(message, Context()))
    assert found == Failure("usage", text, "`shoal deploy --help` says what it takes")
    assert usage_failure(Wrong(message)).hint == ""


def test_the_errors_of_the_library_are_recognised() -> None:
    assert isinstance(typer.BadParameter("x"), UsageError)
    assert not isinstance(ValueError("x"), UsageError)
    assert is_help(Wrong("Usage: shoal COMMAND"))
    assert not is_help(Wrong("Missing argument"))


def test_json_is_wanted_where_the_option_stands_for_itself() -> None:
    assert wants_json(["model", "show", "--json"])
    assert not wants_json(["model", "show", "--", "--json"])
    assert not wants_json(["model", "show"])
