"""Make the environments of the peers that are named, or of all."""

import sys

from benchmarks.peers.environment import NAMES, make
from benchmarks.report import say

if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        say(f"{name}: {make(name)}")
