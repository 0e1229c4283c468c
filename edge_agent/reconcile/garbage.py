"""Which files a device needs: what no slot runs, ran before, tries or wants can go.

Pure: the same records and the same wishes give the same digests. Removing is not done here.
"""

from collections.abc import Callable, Iterable

from edge_agent.contract.state import DesiredState
from edge_agent.store.slots import SlotRecord


def needed(
    records: Iterable[SlotRecord],
    desired: DesiredState,
    files_of: Callable[[str], Iterable[str]],
) -> frozenset[str]:
    """Digests of every file that must stay.

    Args:
        records: of all slots, and of any copy from which the device may have to go on.
        desired: what should run.
        files_of: the files that a manifest (by its digest) names, as far as it is here.
    """
    kept: set[str] = set()
    for record in records:
        for version in record.installed:
            kept |= {version.digest, *record.blobs.get(version.digest, ())}
    # What is wanted and not begun yet may be here from another time: it is not fetched again.
    for wanted in desired.slots.values():
        kept |= {wanted.digest, *files_of(wanted.digest)}
    return frozenset(kept)
