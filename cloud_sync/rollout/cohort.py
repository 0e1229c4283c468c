"""Who is in a rollout and in which stage: by a seeded hash, spread over sites and hardware. Pure.

Every run of devices from the first on is as mixed as the whole: a stage of one in a hundred has
about one in a hundred of each site, and of each kind of hardware there.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from cloud_sync.rollout.bounds import at_least
from cloud_sync.rollout.jitter import chance
from cloud_sync.rollout.rollout import Assignment, Stage
from cloud_sync.rollout_policy import Policy
from edge_agent.contract.state import WantedSlot

MEANT: Final = "the target means it"


# Never part of a cycle, and there are very many of them: not for the garbage collector.
class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """A device that is to get something.

    Attributes:
        site: the value of the policy's site tag; empty without one.
        hardware: its class: what makes devices behave alike.
        module, version, digest: what it gets.
        previous: what its slot wants now, with its config; None for nothing.
    """

    device: str
    module: str
    version: int
    digest: str
    site: str = ""
    hardware: str = ""
    previous: WantedSlot | None = None


class Cohort(Struct, frozen=True, kw_only=True):
    """Who is in a rollout.

    Attributes:
        assignments: in the order in which they get their turn.
        rest: those behind the last stage, where it does not take in all of them.
    """

    stages: tuple[Stage, ...]
    assignments: dict[str, Assignment]
    rest: tuple[Candidate, ...] = ()


def compose(candidates: Iterable[Candidate], policy: Policy, seed: int, now: float) -> Cohort:
    """Split devices into stages.

    Args:
        candidates: each device once.
        policy: of the rollout.
        seed: the same one gives the same order.
        now: seconds since 1970.
    """
    line = in_order(candidates, seed)
    sizes = stage_sizes(policy.stages, len(line))
    assignments = {}
    position = 0
    for number, size in enumerate(sizes):
        for one in line[position : position + size]:
            assignments[one.device] = Assignment(
                device=one.device,
                stage=number,
                module=one.module,
                version=one.version,
                digest=one.digest,
                site=one.site,
                previous=one.previous,
                since=now,
                reason=MEANT,
            )
        position += size
    stages = tuple(Stage(number=number, size=size) for number, size in enumerate(sizes))
    return Cohort(stages=stages, assignments=assignments, rest=tuple(line[position:]))


def stage_sizes(shares: Sequence[str], count: int) -> tuple[int, ...]:
    """How many devices each stage adds; stages that would add none are left out.

    Args:
        shares: of those that have the version once a stage is full, counted from the first.
        count: devices in all.
    """
    sizes = []
    reached = 0
    for share in shares:
        upto = max(reached, at_least(share, count))
        if upto > reached:
            sizes.append(upto - reached)
        reached = upto
    return tuple(sizes)


def in_order(candidates: Iterable[Candidate], seed: int) -> list[Candidate]:
    """The devices in the order in which they get their turn."""
    by_site: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for one in candidates:
        by_site[one.site][one.hardware].append(one)
    lines = {}
    for site, kinds in by_site.items():
        for found in kinds.values():
            found.sort(key=lambda one: chance(seed, one.device))
        lines[site] = _mixed(kinds, seed, f"{site}/")
    return _mixed(lines, seed, "/")


def _mixed(groups: Mapping[str, list[Candidate]], seed: int, what: str) -> list[Candidate]:
    """One line of several: each line's members evenly over the whole, in their order.

    Args:
        groups: lines by name.
        seed: of where in its first gap each line begins.
        what: the lines are of; tells these choices from others.
    """
    members: list[Candidate] = []
    places: list[float] = []
    for name, line in groups.items():
        begin, gap = chance(seed, what + name), 1 / len(line)
        members += line
        places += [(begin + rank) * gap for rank in range(len(line))]
    return [members[position] for position in sorted(range(len(places)), key=places.__getitem__)]
