"""What people, networks, disks and clocks do to a fleet of one: the rules of the simulation."""

import shutil
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from edge_agent.contract.state import SlotConfig
from tests.simulation.device import NAME
from tests.simulation.fate import Fate
from tests.simulation.modules import WELCOME, Character
from tests.simulation.world import World

MODULES: Final = ("probe", "camera")
MEMORY: Final = Path("/dev/shm")  # a file system in memory; names are made unique
CONFIGS: Final = (SlotConfig(), SlotConfig(uplink="all"))

modules = st.sampled_from(MODULES)
mostly_good = st.sampled_from((*WELCOME, *Character))


class Simulation(RuleBasedStateMachine):
    """One world, and what happens to it."""

    def __init__(self) -> None:
        super().__init__()
        memory = str(MEMORY) if MEMORY.is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="shoal-simulation-", dir=memory))
        self.world = World(self._folder)

    def teardown(self) -> None:
        """All is well in the end, or says why not."""
        try:
            self.world.calm()
        finally:
            self.world.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def fate(self) -> Fate:
        """Of the agent."""
        return self.world.fate

    @initialize(character=mostly_good)
    def begins(self, character: Character) -> None:
        """A device is there, and something that can be deployed."""
        self.world.pass_time(3)
        self.world.publish("probe", character)

    @rule(seconds=st.sampled_from((1, 1, 5, 20, 60, 300)))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    @precondition(lambda self: self.world.service.is_up)
    @rule(module=modules, character=mostly_good)
    def publishes(self, module: str, character: Character) -> None:
        self.world.publish(module, character)

    @precondition(lambda self: self.world.service.is_up)
    @rule(back=st.integers(0, 3), config=st.sampled_from(CONFIGS))
    def deploys(self, back: int, config: SlotConfig) -> None:
        published = self.world.service.published
        self.world.deploy(published[max(0, len(published) - 1 - back)], config)

    @precondition(lambda self: self.world.service.is_up)
    @rule(module=modules, character=mostly_good)
    def publishes_and_deploys(self, module: str, character: Character) -> None:
        self.world.publish(module, character)
        self.world.deploy(self.world.service.published[-1], CONFIGS[0])
        self.world.pass_time(2)

    @precondition(lambda self: self.world.service.is_up)
    @rule(module=modules)
    def removes(self, module: str) -> None:
        self.world.service.remove(NAME, module)

    @rule(module=modules)
    def asks_for_another_attempt(self, module: str) -> None:
        if self.world.device is not None:
            self.world.device.retry(module)

    @rule(count=st.integers(1, 5))
    def workers_have_results(self, count: int) -> None:
        for _ in range(count):
            self.world.result("probe")

    @rule(is_cut=st.booleans())
    def network_goes_or_comes(self, is_cut: bool) -> None:
        self.world.disorder.is_network_cut = is_cut

    @rule(is_dead=st.booleans())
    def line_goes_dead_or_comes_back(self, is_dead: bool) -> None:
        self.world.disorder.is_line_dead = is_dead

    @rule(count=st.integers(1, 5), is_noticed=st.booleans())
    def results_go_into_a_dead_line(self, count: int, is_noticed: bool) -> None:
        self.world.disorder.is_line_dead = True
        self.workers_have_results(count)
        self.world.pass_time(60 if is_noticed else 5)
        self.world.disorder.is_line_dead = False

    @rule(is_full=st.booleans())
    def disk_fills_or_empties(self, is_full: bool) -> None:
        self.world.disorder.is_disk_full = is_full

    @rule(faults=st.lists(st.sampled_from(("fails", "truncates", "stalls", "busy", "lies")),
                          min_size=1, max_size=4))  # fmt: skip
    def downloads_go_wrong(self, faults: list[str]) -> None:
        self.world.disorder.downloads.extend(faults)  # type: ignore[arg-type]

    @rule(instants=st.integers(0, 40))
    def agent_is_going_to_die(self, instants: int) -> None:
        self.fate.light(instants)

    @rule()
    def agent_is_killed(self) -> None:
        self.world.kill()

    @rule()
    def agent_is_restarted(self) -> None:
        self.world.restart()

    @rule(has_clock=st.booleans())
    def power_is_cut(self, has_clock: bool) -> None:
        self.world.power_cut(has_clock=has_clock)

    @rule(step=st.sampled_from((3_600.0, -3_600.0, 10 * 365.25 * 86_400.0)))
    def clock_is_set(self, step: float) -> None:
        self.world.clock.step(step)

    @rule()
    def clock_falls_to_1970(self) -> None:
        self.world.clock.set_wall(0.0)

    @rule(is_synced=st.booleans())
    def clock_is_right_or_not(self, is_synced: bool) -> None:
        self.world.clock.synced = is_synced

    @rule(keeps=st.booleans())
    def broker_restarts(self, keeps: bool) -> None:
        self.world.broker.restart(keeps=keeps)

    @rule(name=st.sampled_from((NAME, "cloud-sync")))
    def broker_repeats_itself(self, name: str) -> None:
        self.world.broker.repeat(name)

    @rule()
    def broker_loses_what_was_retained_once(self) -> None:
        if self.world.device is not None:
            self.world.device.session.sees_retained = False

    @precondition(lambda self: self.world.service.is_up)
    @rule()
    def service_stops(self) -> None:
        self.world.service.stop()

    @precondition(lambda self: not self.world.service.is_up)
    @rule()
    def service_starts(self) -> None:
        self.world.service.start()

    @rule()
    def service_is_backed_up(self) -> None:
        self.world.service.back_up()

    @rule()
    def service_is_set_back(self) -> None:
        self.world.service.set_back()

    @rule()
    def all_is_well_for_a_while(self) -> None:
        self.world.calm()
