"""How the processes of one slot's worker ended by themselves, and what follows from it.

Counts, by code, and asks the pure rules of `reconcile` how long to wait and what to run on next.
Starts and ends nothing, and reads no clock.
"""

from edge_agent.reconcile.restart import Life, restart
from edge_agent.reconcile.retreat import Ends, count_end, retreat
from edge_agent.runtime.protocol import RunsOn


class Crashes:
    """Those of one worker since the agent first started it.

    Attributes:
        count: how many.
        by_code: error code to count.
    """

    def __init__(self) -> None:
        self.count = 0
        self.by_code: dict[str, int] = {}
        self._failures = 0
        self._ends = Ends()

    def add(self, code: str, life: Life, returncode: int, provider: str, chance: float) -> float:
        """Count one more.

        Args:
            code: why it ended.
            life: of the process.
            returncode: of the process.
            provider: that it ran on.
            chance: a random number from 0 to 1.

        Returns:
            Seconds until the next process is started.
        """
        self.count += 1
        self.by_code[code] = self.by_code.get(code, 0) + 1
        self._ends = count_end(self._ends, provider, code, returncode, life.lived_s)
        decided = restart(life, self._failures, chance)
        self._failures = decided.failures
        return decided.delay_s

    def retreat(self, runs_on: RunsOn) -> RunsOn | None:
        """What the next process is to run on instead; None for the same as before."""
        return retreat(runs_on, self._ends)
