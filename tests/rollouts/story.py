"""What happens to a fleet as a list of calls, decoded from bytes that Hypothesis draws.

One draw of bytes a story: Hypothesis takes a hundred times as long to choose as many calls one by
one. Each step has bytes of its own, and zeros make no step, so that a failure shrinks well.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from cloud_sync.rollout_policy import Policy
from edge_agent.contract.state import Phase
from tests.rollouts.chance import Chance
from tests.rollouts.cloud import SLOTS, Brain
from tests.rollouts.device import GONE, Nature
from tests.rollouts.fleet import FIRST, Fleet
from tests.rollouts.policies import any_policy

STEPS: Final = 32
SIZES: Final = (2, 3, 4, 6)
SECONDS: Final = (0.0, 1.0, 30.0, 61.0, 400.0, 4_000.0, 100_000.0)
VERSIONS: Final = ("sha256:v1", "sha256:v2", "sha256:v3")
PLACES: Final = (SLOTS[0], SLOTS[0], SLOTS[0], SLOTS[1])
PHASES: Final = (Phase.ACTIVE, Phase.TRIAL, Phase.FAILED, Phase.FETCHING, Phase.ROLLED_BACK)
_ROLLOUT_BYTES: Final = 40
_STEP_BYTES: Final = 6
_STEPS_AT: Final = 1 + _ROLLOUT_BYTES * len(VERSIONS)
BYTES: Final = _STEPS_AT + _STEP_BYTES * STEPS
"""How many bytes a story is decoded from."""

Call = tuple[str, tuple[Any, ...]]  # Any: whatever the call of that name takes


@dataclass(frozen=True)
class Story:
    """How many devices, and what happens."""

    size: int
    calls: tuple[Call, ...]

    def __repr__(self) -> str:
        """For people to read: what Hypothesis shows of one that fails."""
        lines = (f"  {name}{arguments}" for name, arguments in self.calls)
        return "\n".join([f"{self.size} devices", *lines])


def story_of(drawn: bytes) -> Story:
    """The story that these bytes mean."""
    size = Chance(drawn[:1]).choice(SIZES)
    names = [f"d{number}" for number in range(size)]
    calls = [*_another(drawn, names, 1)]
    begun = 1
    for step in range(STEPS):
        begin = _STEPS_AT + step * _STEP_BYTES
        chance = Chance(drawn[begin : begin + _STEP_BYTES])
        maker = _MAKERS[chance.below(len(_MAKERS))]
        if maker is not None:
            calls += maker(chance, names, begun)
        elif begun < len(VERSIONS) and chance.happens(_ANOTHER):
            begun += 1
            calls += _another(drawn, names, begun)
    return Story(size, tuple(calls))


def tell(story: Story, brain: Brain | None = None) -> Fleet:
    """Let a story happen, and end well.

    Args:
        story: what happens.
        brain: who decides; None for the real planner.

    Raises:
        AssertionError: something that must hold did not.
    """
    fleet = Fleet(story.size, brain=brain)
    for name, arguments in story.calls:
        getattr(fleet, name)(*arguments)
        fleet.check()
    fleet.calm()
    return fleet


Maker = Callable[[Chance, list[str], int], Iterable[Call]]


def _another(drawn: bytes, names: list[str], number: int) -> list[Call]:
    begin = 1 + (number - 1) * _ROLLOUT_BYTES
    chance = Chance(drawn[begin : begin + _ROLLOUT_BYTES])
    members = chance.sample(names)
    policy: Policy = any_policy(chance)
    made: Call = ("begin", (members, VERSIONS[number - 1], policy, chance.choice(PLACES)))
    start: Call = ("order", (0, number, "start", "ada"))
    approve: Call = ("order", (1, number, "approve", "bob"))
    return [made, start, approve] if policy.approval else [made, start]


def _drive(chance: Chance, _names: list[str], begun: int) -> list[Call]:
    rounds = chance.choice((20, 20, 2, 1))
    drive: Call = ("drive", (chance.below(2), 1 + chance.below(begun), rounds))
    return [drive]


def _publish(_chance: Chance, _names: list[str], _begun: int) -> list[Call]:
    return [("publish", (0,)), ("publish", (1,))]


def _go_on(chance: Chance, names: list[str], begun: int) -> list[Call]:
    """Everybody works and reports, and everything is looked at: what makes stories long."""
    scheduler = chance.below(2)
    calls: list[Call] = [("work", (name, 8)) for name in names]
    calls += [("send", (name,)) for name in names]
    calls += [("drive", (scheduler, number, 20)) for number in range(1, begun + 1)]
    return [*calls, ("publish", (scheduler,))]


def _die(chance: Chance, _names: list[str], begun: int) -> list[Call]:
    """A service ends right after one of its transactions."""
    number, scheduler = 1 + chance.below(begun), chance.below(2)
    return [("drive", (scheduler, number, chance.below(4))), ("kill", (scheduler,))]


def _work(chance: Chance, names: list[str], _begun: int) -> list[Call]:
    name = chance.choice(names)
    steps = chance.choice((8, 2, 1, 1))
    work: Call = ("work", (name, steps))
    return [work] if chance.happens(0.2) else [work, ("send", (name,))]


def _nature(chance: Chance, names: list[str], _begun: int) -> list[Call]:
    return [("become", (chance.choice(names), chance.choice(list(Nature))))]


def _presence(chance: Chance, names: list[str], _begun: int) -> list[Call]:
    return [(chance.choice(("vanish", "come_back")), (chance.choice(names),))]


def _lose(chance: Chance, names: list[str], _begun: int) -> list[Call]:
    name = chance.choice(names)
    what = chance.choice(("lose", "set_back", "mend"))
    return [(what, (name, chance.choice(PLACES))), ("send", (name,))]


def _lie(chance: Chance, names: list[str], _begun: int) -> list[Call]:
    name = chance.choice(names)
    digest = chance.choice((FIRST, GONE, "", *VERSIONS))
    phase, lag = chance.choice(PHASES), chance.choice((0, 0, 1, 2))
    return [("lie", (name, chance.choice(PLACES), phase, digest, lag)), ("send", (name,))]


def _time(chance: Chance, _names: list[str], _begun: int) -> list[Call]:
    return [("pass_time", (chance.choice(SECONDS),))]


def _person(chance: Chance, _names: list[str], begun: int) -> list[Call]:
    action = chance.choice(("pause", "resume", "resume", "abort", "rollback"))
    order: Call = ("order", (chance.below(2), 1 + chance.below(begun), action, "ada"))
    return [order]


def _match(chance: Chance, names: list[str], begun: int) -> list[Call]:
    """A device comes to match a target."""
    return [("match", (1 + chance.below(begun), chance.choice(names)))]


def _label(chance: Chance, _names: list[str], _begun: int) -> list[Call]:
    """People look at what a version answered."""
    digest = chance.choice(VERSIONS[:1] * 2 + (FIRST, *VERSIONS))
    return [("label", (digest, chance.happens(0.5)))]


def _rare(chance: Chance, names: list[str], _begun: int) -> list[Call]:
    """A module says "not now", a window closes, or a version goes bad."""
    match chance.below(3):
        case 0:
            return [("lock", (chance.choice(names), chance.choice((60.0, 4_000.0))))]
        case 1:
            return [("close_window", (chance.choice((None, 300.0)),))]
        case _:
            return [("spoil", (chance.choice(VERSIONS),))]


_ANOTHER: Final = 0.9
_MAKERS: Final[tuple[Maker | None, ...]] = (
    None,
    *(_go_on,) * 6,
    *(_drive,) * 4,
    *(_publish,) * 3,
    *(_work,) * 4,
    *(_time,) * 4,
    *(_die,) * 2,
    *(_nature,) * 3,
    *(_presence,) * 3,
    *(_lose,) * 2,
    *(_lie,) * 2,
    *(_person,) * 2,
    *(_match,) * 2,
    *(_label,) * 2,
    *(_rare,) * 2,
)
"""What a step may be, as often as it is listed: nothing, or another rollout, first."""
