"""Chains of modules: the output topic of one is the input of the next. Finds cycles. Pure.

A module has two ways through it: what its input filter takes goes to its results, and what comes
in on its request topics goes to its response topics. A cycle may use either.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.routes import ERROR_SUFFIX, request_filter, response_filter
from edge_agent.contract.state import SlotConfig
from edge_agent.contract.topics import expand_device, filters_overlap, template_as_filter

AS_BUILT: Final = SlotConfig()


class Way(Struct, frozen=True):
    """A way of messages through a module.

    Attributes:
        name: of the module, or of the slot that it runs in.
        reads: filter of the topics that it begins at.
        writes: filters of the topics that it ends on, results and errors.
    """

    name: str
    reads: str
    writes: tuple[str, ...]

    def feeds(self, other: "Way") -> bool:
        """Whether a message of this way can be a message for the other."""
        return any(filters_overlap(topic, other.reads) for topic in self.writes)


class Link(Struct, frozen=True):
    """A module as a link of a chain.

    Attributes:
        name: of the module, or of the slot that it runs in.
        ways: of messages through it.
    """

    name: str
    ways: tuple[Way, ...]


def link_of(
    manifest: Manifest, *, slot: str = "", config: SlotConfig = AS_BUILT, device: str = ""
) -> Link:
    """The link that a module makes.

    Args:
        manifest: of the module.
        slot: where it runs; empty for its own name.
        config: of the slot; its topics win over the manifest's.
        device: on which it runs; empty for any device, so that `{device}` stands for all of them.
    """
    name = slot or manifest.name
    reads = config.input_topic or manifest.input.topic
    writes = config.output_topic or manifest.output.topic
    if device:
        reads, writes = expand_device(reads, device), expand_device(writes, device)
    return link_between(name, reads, writes)


def link_between(name: str, reads: str, writes: str) -> Link:
    """The link between two topics.

    Args:
        name: of the link.
        reads: filter of its input.
        writes: template of its output.
    """
    results = template_as_filter(writes, reads)
    reads = template_as_filter(reads)
    ways = [Way(name, reads, (results, f"{results}{ERROR_SUFFIX}"))]
    if requests := request_filter(reads):
        ways.append(Way(name, requests, (response_filter(reads),)))
    return Link(name, tuple(ways))


def find_cycle(new: Link, others: Iterable[Link]) -> tuple[str, ...]:
    """The links that a message would go round through, beginning and ending with `new`.

    Args:
        new: the link that is about to join.
        others: the links that it joins; one of the same name is left out.

    Returns:
        Names in order of the flow, the shortest round; empty if there is none.
    """
    ways = [*new.ways, *(way for link in others if link.name != new.name for way in link.ways)]
    rounds = [found for start in new.ways if (found := _round(start, ways))]
    return min(rounds, key=len, default=())


def _round(start: Way, ways: Iterable[Way]) -> tuple[str, ...]:
    """Names of the shortest round from a way back to it; empty if there is none."""
    rest = [way for way in ways if way != start]
    front: list[tuple[Way, tuple[str, ...]]] = [(start, (start.name,))]
    while front:
        following: list[tuple[Way, tuple[str, ...]]] = []
        for way, path in front:
            if way.feeds(start):
                return (*path, start.name)
            reached = [other for other in rest if way.feeds(other)]
            rest = [other for other in rest if other not in reached]
            following += [(other, (*path, other.name)) for other in reached]
        front = following
    return ()
