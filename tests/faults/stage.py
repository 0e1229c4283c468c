"""Where the story is played: folders, the cloud's address, the library. One a process."""

import random
import shutil
from pathlib import Path
from typing import Final

from tests.faults.device import Device
from tests.faults.preload import Preload
from tests.faults.story import Chapter, Modules
from tests.faults.witness import Witness

HEALED_AFTER: Final = 2
"""Troubles of a device, until its disk has room again."""


class Stage:
    """One process's place to play chapters in.

    Args:
        folder: of this process alone, on a disk that is fast.
        preload: the library in this process.
        cloud_url: where blobs come from.
        modules: that are published there.
    """

    def __init__(self, folder: Path, *, preload: Preload, cloud_url: str, modules: Modules) -> None:
        self.folder = folder
        self.preload = preload
        self.cloud_url = cloud_url
        self.modules = modules
        self.work = folder / "work"
        self.words = folder / "words"

    def play(self, chapter: Chapter, device: Device) -> None:
        """Let a device go through a chapter, with the same chances every time."""
        random.seed(0)
        chapter(device, self.modules)

    def device(self, state: Path, witness: Witness, *, run: str) -> Device:
        """A device on a state directory, whose disk is healed soon after something failed.

        Args:
            state: the directory.
            witness: told of everything that was written.
            run: unique on this state directory; part of the boot ids.
        """
        troubles = 0

        def trouble() -> None:
            nonlocal troubles
            troubles += 1
            if troubles >= HEALED_AFTER:
                self.preload.heal()

        return Device(
            state,
            cloud_url=self.cloud_url,
            witness=witness,
            make_workers=self.modules.workers,
            trouble=trouble,
            aside=self.preload.aside,
            run=run,
        )


def copy_state(source: Path, target: Path) -> Path:
    """A state directory again, elsewhere. A source that is not there gives an empty target."""
    shutil.rmtree(target, ignore_errors=True)
    if source.exists():
        shutil.copytree(source, target)
    return target
