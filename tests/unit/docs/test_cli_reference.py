from typer.main import get_command

from docs.generate_cli_reference import PAGE, commands, programs, render


def test_the_committed_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), (
        "a command changed: run `python docs/generate_cli_reference.py` and commit the page"
    )


def test_every_command_of_every_program_has_an_example() -> None:
    without = [
        full_name
        for name, app in programs().items()
        for full_name, command in commands(name, get_command(app))
        if not hasattr(command, "commands") and "Example" not in (command.help or "")
    ]
    assert without == []
