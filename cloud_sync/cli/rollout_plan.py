"""How a plan is drawn: who gets it when, who cannot take it and why, what it costs."""

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Final

from cloud_sync.cli import words
from cloud_sync.cli.output import (
    Cell,
    Column,
    Row,
    Strip,
    print_facts,
    print_line,
    print_table,
    right,
)
from cloud_sync.rollout_resources import Obstacle, PlannedStage, RolloutPlan

NAMED: Final = 5
"""Devices of a stage, or with the same obstacle, that are named; all of them are in the JSON."""
OBSTACLES: Final = 20
"""Different ones that are shown."""


def print_plan(plan: RolloutPlan, to: str, start: Sequence[str]) -> None:
    """Print a plan.

    Args:
        plan: as the service made it.
        to: the target as it was typed.
        start: arguments of `shoal` that begin what was planned.
    """
    print_facts(_facts(plan, to))
    if plan.stages:
        print_line("")
        print_table(_STAGES, _stages(plan.stages), "")
    for what, obstacles in (
        ("left out, cannot take it", plan.unfit),
        ("in conflict with what is there", plan.conflicts),
    ):
        if obstacles:
            print_line("")
            print_line(f"{what}, {words.plural(len(_devices(obstacles)), 'device')}:")
            _print_obstacles(obstacles)
    print_line("")
    if plan.cohort:
        print_line(f"nothing was changed; to begin: {shlex.join(['shoal', *start])}")
    else:
        print_line("nothing was changed, and there is nothing to begin: no device would get it")


def obstacles_text(obstacles: Sequence[Obstacle], what: str) -> str:
    """One line about devices that stand in the way; the first ones with their reason."""
    groups = _alike(obstacles)
    named = "; ".join(f"{_named(names, len(names))}: {each.text}" for each, names in groups[:3])
    rest = sum(len(names) for _, names in groups[3:])
    more = f"; and {words.count(rest)} more" if rest else ""
    return f"{what}, {words.plural(len(_devices(obstacles)), 'device')}: {named}{more}"


def _devices(obstacles: Sequence[Obstacle]) -> set[str]:
    """Each once: a device may have several reasons."""
    return {each.device for each in obstacles}


_STAGES: Final = (
    right("stage"),
    right("devices"),
    right("in all"),
    Column("shadow first"),
    Column("which", wraps=True),
)


def _facts(plan: RolloutPlan, to: str) -> dict[str, str | Cell | Strip]:
    version = f"{plan.module}/{plan.version}" if plan.version else plan.module
    found: dict[str, str | Cell | Strip] = {
        "plan": f"{version} into slot {plan.slot}",
        "to": to,
        "devices": f"{words.count(plan.cohort)} in {words.plural(len(plan.stages), 'stage')}",
    }
    for what, devices in (
        ("run it already", plan.already),
        ("asked for it before", plan.asked_already),
        ("behind the last stage", plan.rest),
    ):
        if devices:
            found[what] = f"{words.count(len(devices))}: {_named(devices, len(devices))}"
    if plan.away:
        found["away now"] = Cell(_named(plan.away, len(plan.away)), "yellow")
    if plan.unfit:
        found["cannot take it"] = Cell(words.count(len(_devices(plan.unfit))), "red")
    if plan.conflicts:
        found["conflicts"] = Cell(words.count(len(_devices(plan.conflicts))), "red")
    found["to be sent"] = words.size(plan.bytes_to_send)
    found["expected time"] = f"at least {words.duration(plan.expected_s)}"
    if plan.assumptions:
        found["provided that"] = "; ".join(plan.assumptions)
    found["seed"] = str(plan.seed)
    return found


def _stages(stages: Sequence[PlannedStage]) -> list[Row]:
    rows: list[Row] = []
    total = 0
    for stage in stages:
        total += stage.size
        rows.append(
            (
                str(stage.number + 1),
                words.count(stage.size),
                words.count(total),
                "yes" if stage.has_shadow else "no",
                _named(stage.devices, stage.size),
            )
        )
    return rows


def _named(devices: Sequence[str], size: int) -> str:
    """The first devices by name, and how many more there are."""
    named = ", ".join(devices[:NAMED])
    more = size - min(len(devices), NAMED)
    return f"{named} and {words.count(more)} more" if more > 0 else named


def _alike(obstacles: Sequence[Obstacle]) -> list[tuple[Obstacle, list[str]]]:
    """Obstacles with the same reason and text once, each with its devices.

    One of each reason comes before a second one of any.
    """
    devices: dict[tuple[str, str], list[str]] = {}
    firsts: list[Obstacle] = []
    for each in obstacles:
        known = devices.setdefault((each.code, each.text), [])
        if not known:
            firsts.append(each)
        known.append(each.device)
    ranks: Counter[str] = Counter()
    ranked: list[tuple[int, Obstacle]] = []
    for each in firsts:
        ranks[each.code] += 1
        ranked.append((ranks[each.code], each))
    ranked.sort(key=lambda pair: pair[0])
    return [(each, devices[each.code, each.text]) for _, each in ranked]


def _print_obstacles(obstacles: Sequence[Obstacle]) -> None:
    columns = (Column("device", wraps=True), Column("reason"), Column("what is wrong", wraps=True))
    groups = _alike(obstacles)
    rows: list[Row] = [
        (_named(names, len(names)), words.spaced(each.code), each.text)
        for each, names in groups[:OBSTACLES]
    ]
    print_table(columns, rows, "")
    if rest := sum(len(names) for _, names in groups[OBSTACLES:]):
        print_line(f"and {words.count(rest)} more: --json names all")
