"""`cloud-sync`: its help and its mistakes look like those of the other two programs."""

import pytest
from typer.testing import CliRunner

from cloud_sync.app import cli


@pytest.mark.parametrize("arguments", [["-h"], ["serve", "-h"], ["init", "--help"]])
def test_help_is_plain_text_with_an_example(arguments: list[str]) -> None:
    told = CliRunner().invoke(cli, arguments)
    assert told.exit_code == 0
    assert "Example:\n    cloud-sync " in told.output
    assert "│" not in told.output
    assert "<bool>" not in told.output


def test_the_version_is_told_with_the_name() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output.startswith("cloud-sync 0.")


def test_a_wrong_option_is_one_line() -> None:
    told = CliRunner().invoke(cli, ["serve", "--prot", "1"])
    assert told.exit_code == 2
    assert "Error: No such option: --prot" in told.output
