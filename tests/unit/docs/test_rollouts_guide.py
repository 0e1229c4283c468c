"""The guide to rollouts names commands, options, states and keys that there are."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from msgspec.structs import fields

from cloud_sync.cli.main import app
from cloud_sync.rollout_gates import Gates
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutState

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "rollouts.md").read_text()


def typed() -> Iterator[str]:
    """Every `shoal` command of the guide, of its blocks and of its sentences."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))
    for line in blocks.splitlines():
        if line.startswith("shoal "):
            yield line.split("  #")[0].split(" | ")[0].split(" > ")[0]
    yield from re.findall(r"`(shoal [^`]+)`", GUIDE)


def test_the_guide_shows_what_a_person_begins_with() -> None:
    assert any(line.startswith("shoal rollout start") for line in typed())


@pytest.mark.parametrize("line", sorted(set(typed())))
def test_every_command_of_the_guide_is_there_with_its_options(line: str) -> None:
    command: Any = typer.main.get_command(app)  # Any: typer's type is not public
    known = {option for parameter in command.params for option in parameter.opts}
    for word in shlex.split(line)[1:]:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
            for parameter in command.params:
                known |= {*parameter.opts, *parameter.secondary_opts}
        elif word.startswith("--"):
            assert word in known, f"{line}: {word}"
    assert getattr(command, "commands", None) is None, f"{line}: names no command"


def test_every_state_and_gate_is_explained() -> None:
    for state in (*RolloutState, *AssignmentState):
        assert state.value.replace("_", " ") in GUIDE, state
    for gate in fields(Gates):
        assert gate.name.replace("_", " ") in GUIDE or gate.name in GUIDE, gate.name


def test_keys_of_the_policy_are_written_as_they_are() -> None:
    keys = {key.name for key in fields(Policy)} | {"without_gates"}
    named = re.findall(r"--set ([a-z_]+)[.=]", GUIDE) + re.findall(r"`([a-z_]+) = ", GUIDE)
    assert named
    assert set(named) <= keys


def test_limits_in_the_guide_are_the_defaults() -> None:
    gates = Gates()
    for name in ("error_rate", "disagreement", "slow", "old"):
        limit = getattr(gates, name)
        row = next(
            line for line in GUIDE.splitlines() if line.startswith(f"| {name.replace('_', ' ')} |")
        )
        assert row.endswith(f"| {limit.good:.0%} | {limit.bad:.0%} |".replace("%", " %")), row
