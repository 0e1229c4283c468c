"""Every command of `edge-agent`, found by walking the tree: how it fails."""

import json
import sys
from pathlib import Path

import pytest
import typer

from edge_agent.cli import app, main

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # not public
WITH_JSON = sorted(n for n, c in COMMANDS.items() if any("--json" in p.opts for p in c.params))


def run(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str, str]:
    monkeypatch.setattr(sys, "argv", ["edge-agent", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_the_commands_that_show_something_have_json() -> None:
    assert {"status", "check", "infer"} <= set(WITH_JSON)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_wrong_usage_is_said_as_every_other_error(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run([name, "--nonsense"], monkeypatch, capsys)
    assert (code, out) == (2, "")
    error, advice = err.splitlines()
    assert error.startswith("error: ")
    assert advice == f"what to do: `edge-agent {name} --help` says what it takes"


@pytest.mark.parametrize("name", WITH_JSON)
def test_a_command_fails_in_json_when_it_is_asked_for_json(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run([name, "--json", "--nonsense"], monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert json.loads(err)["error"]["code"] == "usage"
    payload = tmp_path / "row.json"
    payload.write_text("{}")
    needed = [
        str(payload) if parameter.name == "file" else "missing"
        for parameter in COMMANDS[name].params
        if parameter.required
    ]
    missing = str(tmp_path / "no.toml")
    code, out, err = run([name, *needed, "--config", missing, "--json"], monkeypatch, capsys)
    assert (code, out) == (1, "")
    assert json.loads(err)["error"]["code"] == "config_unreadable"


def test_a_bare_command_shows_its_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run([], monkeypatch, capsys)
    assert code == 2
    assert err.startswith("Usage: edge-agent")
