"""`cloud-sync`: its help and its mistakes look like those of the other two programs."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloud_sync.app import cli, main


@pytest.mark.parametrize("arguments", [["-h"], ["serve", "-h"], ["init", "--help"]])
def test_help_is_plain_text_with_an_example(arguments: list[str]) -> None:
    told = CliRunner().invoke(cli, arguments)
    assert told.exit_code == 0
    assert "Example:\n    cloud-sync " in told.output
    assert "│" not in told.output
    assert "<bool>" not in told.output


def test_the_version_is_told_with_the_name() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output.startswith("cloud-sync 0.")


@pytest.mark.parametrize(
    ("arguments", "error", "command"),
    [
        (["bogus"], "no such command 'bogus'", "cloud-sync"),
        (["serve", "--prot", "1"], "no such option: --prot", "cloud-sync serve"),
        (["serve", "--port", "99999999"], "'--port' expected at most 65535", "cloud-sync serve"),
    ],
)
def test_wrong_usage_is_said_as_by_the_other_programs(
    arguments: list[str],
    error: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["cloud-sync", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"error: {error}")
    assert second == f"what to do: `{command} --help` says what it takes"


def test_a_refusal_is_told_by_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cloud-sync", "serve", "-c", str(tmp_path / "no.toml")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")
