"""What happens to a fleet as a list of calls: chosen by a seed, told again, and made shorter.

The mass of sequences is chosen here, because Hypothesis takes a hundred times as long to choose
one; its own machine (`machine`) finds the shortest way to a failure. Both make the same calls.
"""

import random
from collections.abc import Callable, Iterable
from typing import Any, Final

from edge_agent.contract.state import Phase
from tests.rollouts.cloud import Brain
from tests.rollouts.device import GONE, Nature
from tests.rollouts.fleet import FIRST, Fleet
from tests.rollouts.policies import any_policy

STEPS: Final = 30
SIZES: Final = (2, 3, 4, 6)
SECONDS: Final = (0.0, 1.0, 30.0, 61.0, 400.0, 4_000.0, 100_000.0)
MOST_ROLLOUTS: Final = 3
VERSIONS: Final = ("sha256:v1", "sha256:v2", "sha256:v3")
PHASES: Final = (Phase.ACTIVE, Phase.TRIAL, Phase.FAILED, Phase.FETCHING, Phase.ROLLED_BACK)

Call = tuple[str, tuple[Any, ...]]  # Any: whatever the call of that name takes
Story = tuple[int, list[Call]]
"""How many devices, and what happens."""


def story_of(seed: int, steps: int = STEPS) -> Story:
    """A story by chance; the same for the same seed."""
    chance = random.Random(seed)
    size = chance.choice(SIZES)
    names = [f"d{number}" for number in range(size)]
    calls = [*_another(chance, names, 1)]
    begun = 1
    for _ in range(steps):
        if begun < MOST_ROLLOUTS and chance.random() < 0.03:
            begun += 1
            calls += _another(chance, names, begun)
        else:
            calls += _MAKERS[chance.choices(_INDICES, _WEIGHTS)[0]](chance, names, begun)
    return size, calls


def tell(story: Story, brain: Brain | None = None) -> Fleet:
    """Let a story happen, and end well.

    Args:
        story: what happens.
        brain: who decides; None for the real planner.

    Raises:
        AssertionError: something that must hold did not.
    """
    size, calls = story
    fleet = Fleet(size, brain=brain)
    for name, arguments in calls:
        getattr(fleet, name)(*arguments)
        fleet.check()
    fleet.calm()
    return fleet


def shortest(story: Story, fails: Callable[[Story], bool]) -> Story:
    """The story without every call that its failure does not need."""
    size, calls = story
    width = max(1, len(calls) // 2)
    while width:
        place = 0
        while place < len(calls):
            shorter = calls[:place] + calls[place + width :]
            if fails((size, shorter)):
                calls = shorter
            else:
                place += width
        width //= 2
    return size, calls


Maker = Callable[[random.Random, list[str], int], Iterable[Call]]


def _another(chance: random.Random, names: list[str], number: int) -> list[Call]:
    members = chance.sample(names, chance.randint(1, len(names)))
    policy = any_policy(chance)
    begin: Call = ("begin", (tuple(members), VERSIONS[(number - 1) % len(VERSIONS)], policy))
    start: Call = ("order", (0, number, "start", "ada"))
    approve: Call = ("order", (1, number, "approve", "bob"))
    return [begin, start, approve] if policy.approval else [begin, start]


def _drive(chance: random.Random, _names: list[str], begun: int) -> list[Call]:
    number = chance.randint(1, begun)
    drive: Call = ("drive", (chance.randint(0, 1), number, chance.choice((1, 2, 20, 20))))
    return [drive]


def _publish(chance: random.Random, _names: list[str], _begun: int) -> list[Call]:
    return [("publish", (0,)), ("publish", (1,))]


def _go_on(chance: random.Random, names: list[str], begun: int) -> list[Call]:
    """Everybody works and reports, and everything is looked at: what makes stories long."""
    scheduler = chance.randint(0, 1)
    calls: list[Call] = [("work", (name, 8)) for name in names]
    calls += [("send", (name,)) for name in names]
    calls += [("drive", (scheduler, number, 20)) for number in range(1, begun + 1)]
    return [*calls, ("publish", (scheduler,))]


def _die(chance: random.Random, _names: list[str], begun: int) -> list[Call]:
    """A service ends right after one of its transactions."""
    number, scheduler = chance.randint(1, begun), chance.randint(0, 1)
    return [("drive", (scheduler, number, chance.randint(0, 3))), ("kill", (scheduler,))]


def _work(chance: random.Random, names: list[str], _begun: int) -> list[Call]:
    name = chance.choice(names)
    steps = chance.choice((1, 1, 2, 8))
    return (
        [("work", (name, steps)), ("send", (name,))]
        if chance.random() < 0.8
        else [("work", (name, steps))]
    )


def _nature(chance: random.Random, names: list[str], _begun: int) -> list[Call]:
    return [("become", (chance.choice(names), chance.choice(list(Nature))))]


def _presence(chance: random.Random, names: list[str], _begun: int) -> list[Call]:
    return [(chance.choice(("vanish", "come_back")), (chance.choice(names),))]


def _lose(chance: random.Random, names: list[str], _begun: int) -> list[Call]:
    name = chance.choice(names)
    return [(chance.choice(("lose", "set_back", "mend")), (name,)), ("send", (name,))]


def _lie(chance: random.Random, names: list[str], _begun: int) -> list[Call]:
    name = chance.choice(names)
    digest = chance.choice((FIRST, GONE, "", *VERSIONS))
    lie: Call = ("lie", (name, chance.choice(PHASES), digest, chance.choice((0, 0, 1, 2))))
    return [lie, ("send", (name,))]


def _time(chance: random.Random, _names: list[str], _begun: int) -> list[Call]:
    return [("pass_time", (chance.choice(SECONDS),))]


def _person(chance: random.Random, _names: list[str], begun: int) -> list[Call]:
    action = chance.choice(("pause", "resume", "resume", "abort", "rollback"))
    order: Call = ("order", (chance.randint(0, 1), chance.randint(1, begun), action, "ada"))
    return [order]


def _lock(chance: random.Random, names: list[str], _begun: int) -> list[Call]:
    return [("lock", (chance.choice(names), chance.choice((60.0, 4_000.0))))]


def _window(chance: random.Random, _names: list[str], _begun: int) -> list[Call]:
    return [("close_window", (chance.choice((None, 300.0)),))]


def _spoil(chance: random.Random, _names: list[str], _begun: int) -> list[Call]:
    return [("spoil", (chance.choice(VERSIONS),))]


_MAKERS: Final[tuple[Maker, ...]] = (
    _go_on,
    _drive,
    _publish,
    _work,
    _time,
    _die,
    _nature,
    _presence,
    _lose,
    _lie,
    _person,
    _lock,
    _window,
    _spoil,
)
_WEIGHTS: Final = (6, 4, 3, 4, 4, 2, 3, 3, 2, 2, 2, 0.5, 0.5, 0.5)
_INDICES: Final = range(len(_MAKERS))
