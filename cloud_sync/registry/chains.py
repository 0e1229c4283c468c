"""Chains of modules: the output topic of one is the input of the next. Finds cycles. Pure."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from edge_agent.contract.manifest import Manifest
from edge_agent.contract.routes import ERROR_SUFFIX
from edge_agent.contract.state import SlotConfig
from edge_agent.contract.topics import expand_device, filters_overlap, template_as_filter

AS_BUILT: Final = SlotConfig()


class Link(Struct, frozen=True):
    """A module as a link of a chain.

    Attributes:
        name: of the module, or of the slot that it runs in.
        reads: filter of the topics that it reads.
        writes: filters of the topics that it writes, results and errors.
    """

    name: str
    reads: str
    writes: tuple[str, ...]

    def feeds(self, other: "Link") -> bool:
        """Whether a message of this module can be a message for the other."""
        return any(filters_overlap(topic, other.reads) for topic in self.writes)


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
    reads = config.input_topic or manifest.input.topic
    writes = config.output_topic or manifest.output.topic
    if device:
        reads, writes = expand_device(reads, device), expand_device(writes, device)
    results = template_as_filter(writes, reads)
    return Link(
        slot or manifest.name, template_as_filter(reads), (results, f"{results}{ERROR_SUFFIX}")
    )


def find_cycle(new: Link, others: Iterable[Link]) -> tuple[str, ...]:
    """The links that a message would go round through, beginning and ending with `new`.

    Args:
        new: the link that is about to join.
        others: the links that it joins; one of the same name is left out.

    Returns:
        Names in order of the flow, the shortest round; empty if there is none.
    """
    rest = [link for link in others if link.name != new.name]
    reached: dict[str, tuple[str, ...]] = {new.name: (new.name,)}
    front = [new]
    while front:
        following: list[Link] = []
        for link in front:
            if link.feeds(new):
                return (*reached[link.name], new.name)
            for other in rest:
                if other.name not in reached and link.feeds(other):
                    reached[other.name] = (*reached[link.name], other.name)
                    following.append(other)
        front = following
    return ()
