"""What a change would make of a device is checked here before anything is written.

The slot by itself, and its topics together with those of all other slots there. The registry's
check at publishing is an early warning; these count, because only here the topics are the real
ones. Reads manifests; writes nothing.
"""

from collections.abc import Mapping

from sqlalchemy import Connection

from cloud_sync.errors import Conflict, ContractError, InvalidInput
from cloud_sync.registry.chains import Link, find_cycle, link_of
from cloud_sync.registry.modules import manifests_of
from edge_agent.contract.manifest import Manifest
from edge_agent.contract.routes import config_problems
from edge_agent.contract.shadows import SHADOW_MISFIT, check_outputs, check_shadow
from edge_agent.contract.state import SlotConfig, WantedSlot


class Manifests:
    """Manifests by digest, each read once for all devices of a deployment.

    What was found to fit is remembered: most devices of a fleet ask the same.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, Manifest] = {}
        self._fitting: set[tuple[str, SlotConfig]] = set()
        self._without_cycle: set[tuple[str, tuple[Link, ...]]] = set()

    def of(self, digests: set[str]) -> dict[str, Manifest]:
        """The manifests that are published of these."""
        missing = digests - self._known.keys()
        if missing:
            self._known |= manifests_of(self._connection, missing)
        return self._known

    def check_config(self, digest: str, config: SlotConfig, where: str = "") -> None:
        """`check_config` for a version; one that is not published is not checked.

        Raises:
            InvalidInput: `config_misfit`, with everything that does not fit.
        """
        manifest = self.of({digest}).get(digest)
        if manifest is not None and (digest, config) not in self._fitting:
            check_config(manifest, config, where)
            self._fitting.add((digest, config))

    def find_cycle(self, slot: str, links: Mapping[str, Link]) -> tuple[str, ...]:
        """The slots of a device through which results would come back to one of them.

        Args:
            slot: to which.
            links: of the device, by slot.
        """
        question = (slot, tuple(links.values()))
        if question in self._without_cycle:
            return ()
        cycle = find_cycle(links[slot], links.values())
        if not cycle:
            self._without_cycle.add(question)
        return cycle


def check_config(manifest: Manifest, config: SlotConfig, where: str = "") -> None:
    """Refuse here what every device would have to refuse.

    Args:
        manifest: of the module.
        config: that it would get.
        where: it would be, for the error; empty for anywhere.

    Raises:
        InvalidInput: `config_misfit`, with everything that does not fit.
    """
    problems = list(config_problems(manifest, config))
    if problems:
        raise InvalidInput(
            f"this configuration does not fit {where or manifest.name}: {'; '.join(problems)}",
            code="config_misfit",
            hint="correct it; `shoal config show` says where each value is from",
        )


def check_shadows_left(device: str, slot: str, slots: dict[str, WantedSlot]) -> None:
    """Refuse to remove what another slot shadows."""
    for name, other in slots.items():
        if other.mode == "shadow" and other.shadows == slot:
            raise Conflict(
                f"{device}: slot {slot!r} has the shadow {name!r}",
                hint=f"remove {name!r} first",
                code=SHADOW_MISFIT,
            )


def check_misfits(device: str, slots: dict[str, WantedSlot], manifests: Manifests) -> None:
    """Refuse shadows of what will not be there to be shadowed, or cannot be compared."""
    for name, wanted in slots.items():
        try:
            check_shadow(name, slots)
            if wanted.mode == "shadow":
                live = slots[wanted.shadows]
                known = manifests.of({wanted.digest, live.digest})
                if wanted.digest in known and live.digest in known:
                    own_outputs, live_outputs = (
                        [output.name for output in known[digest].model.outputs]
                        for digest in (wanted.digest, live.digest)
                    )
                    check_outputs(name, own_outputs, wanted.shadows, live_outputs)
        except ContractError as error:
            raise Conflict(f"{device}: {error.text}", hint=error.hint, code=error.code) from error


def check_cycle(device: str, slot: str, slots: dict[str, WantedSlot], manifests: Manifests) -> None:
    """Refuse a slot whose results would come back to it through the other slots of a device."""
    known = manifests.of({wanted.digest for wanted in slots.values()})
    links = {
        name: link_of(known[wanted.digest], slot=name, config=wanted.config, device=device)
        for name, wanted in slots.items()
        if wanted.digest in known and wanted.mode == "run"
    }
    cycle = manifests.find_cycle(slot, links)
    if cycle:
        raise Conflict(
            f"slot {slot!r} would make a cycle of topics on {device}: {' -> '.join(cycle)}",
            hint="give it another input or output topic, or remove a slot of the cycle first",
            code="topic_cycle",
        )
