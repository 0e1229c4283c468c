"""Whatever happens to a device, its broker and its service, in any order: the invariants hold.

The same examples in every run; `python -m tests.simulation` tries new ones for as long as it is
let. A failure prints the rules that led to it, ready to be run again.
"""

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.simulation.machine import Simulation

EXAMPLES: Final = 15
RULES: Final = 30

pytestmark = pytest.mark.timeout(600)  # a busy machine is no failure

TestFleetOfOne = Simulation.TestCase
TestFleetOfOne.settings = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=EXAMPLES,
    stateful_step_count=RULES,
    # Finding the shortest way to a failure takes minutes, and belongs on somebody's desk.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
