"""The copy of what is committed: enough to start what ran when the journal is lost.

One small file beside the journal, replaced whole and checked by its hash: the highest revision
that was seen, with all that it wants, every slot's committed versions, and the last runs. No
version on trial is in it. Written after the journal, and never read while that one is sound.
"""

import hashlib
import logging
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from edge_agent.contract.state import DesiredState
from edge_agent.store.files import write_atomic
from edge_agent.store.slots import SlotRecord

log: Final = logging.getLogger("edge_agent.store")

COMMITTED_FILE: Final = "committed.json"
MAX_BYTES: Final = 16 * 2**20
_encoder: Final = msgspec.json.Encoder(order="sorted")


class Committed(Struct, frozen=True, kw_only=True):
    """What is committed on a device.

    Attributes:
        generation: counted up with every change of it. A journal with a lower one has lost what
            it was given.
        boots: the last runs of the agent: boot id to when each began, seconds since 1970.
        desired: with the highest revision ever accepted; None before the first.
        slots: by name, as `SlotRecord.committed` gives them.
    """

    generation: int = 0
    boots: dict[str, float] = {}
    desired: DesiredState | None = None
    slots: dict[str, SlotRecord] = {}
    v: int = 1


_VERSION: Final = Committed().v


def write_committed(folder: Path, committed: Committed) -> None:
    """Replace the copy.

    Raises:
        StorageError: the disk refused; the old copy is untouched.
    """
    body = _encoder.encode(committed)
    write_atomic(folder / COMMITTED_FILE, _line(body) + body)


def read_committed(folder: Path) -> Committed | None:
    """The copy; None if there is none that can be believed."""
    path = folder / COMMITTED_FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
        head, _, body = data.partition(b"\n")
        if head + b"\n" != _line(body):
            raise msgspec.DecodeError("its hash is another")
        found = msgspec.json.decode(body, type=Committed)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("event=committed_copy_ignored path=%s reason=%r", path, str(error))
        return None
    if found.v != _VERSION:
        log.warning("event=committed_copy_ignored path=%s version=%d", path, found.v)
        return None
    return found


def _line(body: bytes) -> bytes:
    return f"sha256:{hashlib.sha256(body).hexdigest()}\n".encode()
