"""What is wrong with the world just now: the network, the disk, the server of files."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

DownloadFault = Literal["fails", "truncates", "stalls", "busy", "lies"]


@dataclass
class Disorder:
    """Faults that last until somebody ends them, and those that hit what comes next.

    Attributes:
        is_network_cut: nobody reaches anybody, and knows it.
        is_line_dead: the device believes that it is connected, and is not.
        is_disk_full: the device's disk takes nothing.
        downloads: what happens to the next downloads.
    """

    is_network_cut: bool = False
    is_line_dead: bool = False
    is_disk_full: bool = False
    downloads: deque[DownloadFault] = field(default_factory=deque)

    def end(self) -> None:
        """All is well."""
        self.is_network_cut = self.is_line_dead = self.is_disk_full = False
        self.downloads.clear()
