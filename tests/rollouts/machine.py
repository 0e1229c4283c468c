"""What people, services, networks and devices do to rollouts: the rules, with shrinking."""

from random import Random
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cloud_sync.rollout_policy import Policy
from edge_agent.contract.state import Phase
from tests.rollouts.device import GONE, Nature
from tests.rollouts.fleet import FIRST, Action, Fleet
from tests.rollouts.policies import any_policy
from tests.rollouts.story import MOST_ROLLOUTS, PHASES, SECONDS, SIZES, VERSIONS

ACTIONS: Final[tuple[Action, ...]] = ("pause", "resume", "abort", "rollback")
CLAIMS: Final = (FIRST, GONE, "", *VERSIONS)
places = st.integers(0, max(SIZES) - 1)
schedulers = st.integers(0, 1)
numbers = st.integers(1, MOST_ROLLOUTS)
policies = st.integers(0, 2**20).map(lambda seed: any_policy(Random(seed)))


class RolloutMachine(RuleBasedStateMachine):
    """A fleet, and what happens to its rollouts."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet(0)

    @invariant()
    def all_promises_are_kept(self) -> None:
        self.fleet.check()

    def teardown(self) -> None:
        """All is well in the end, or says why not."""
        self.fleet.calm()

    @initialize(size=st.sampled_from(SIZES), policy=policies, among=st.sets(places, min_size=1))
    def begins(self, size: int, policy: Policy, among: set[int]) -> None:
        self.fleet = Fleet(size)
        self.somebody_wants_another(policy, among)

    @precondition(lambda self: len(self.fleet.cloud.rollouts) < MOST_ROLLOUTS)
    @rule(policy=policies, among=st.sets(places, min_size=1))
    def somebody_wants_another(self, policy: Policy, among: set[int]) -> None:
        number = len(self.fleet.cloud.rollouts) + 1
        devices = sorted({self._name(place) for place in among})
        self.fleet.begin(devices, VERSIONS[number - 1], policy)
        self.fleet.order(0, number, "start")
        if policy.approval:
            self.fleet.order(0, number, "approve", "bob")

    @rule(scheduler=schedulers)
    def everybody_goes_on(self, scheduler: int) -> None:
        for name in self.fleet.devices:
            self.fleet.work(name, 8)
            self.fleet.send(name)
        for number in self.fleet.cloud.rollouts:
            self.fleet.drive(scheduler, number)
        self.fleet.publish(scheduler)

    @rule(scheduler=schedulers, number=numbers, rounds=st.integers(1, 20))
    def a_service_looks(self, scheduler: int, number: int, rounds: int) -> None:
        self.fleet.drive(scheduler, number, rounds)

    @rule(scheduler=schedulers)
    def a_service_tells(self, scheduler: int) -> None:
        self.fleet.publish(scheduler)

    @rule(scheduler=schedulers, number=numbers, rounds=st.integers(0, 3))
    def a_service_dies_after(self, scheduler: int, number: int, rounds: int) -> None:
        self.fleet.drive(scheduler, number, rounds)
        self.fleet.kill(scheduler)

    @rule(scheduler=schedulers, number=numbers, action=st.sampled_from(ACTIONS))
    def somebody_orders(self, scheduler: int, number: int, action: Action) -> None:
        self.fleet.order(scheduler, number, action)

    @rule(place=places, steps=st.sampled_from((1, 2, 8)), sends=st.booleans())
    def a_device_works(self, place: int, steps: int, sends: bool) -> None:
        self.fleet.work(self._name(place), steps)
        if sends:
            self.fleet.send(self._name(place))

    @rule(place=places, nature=st.sampled_from(Nature))
    def a_device_becomes(self, place: int, nature: Nature) -> None:
        self.fleet.become(self._name(place), nature)

    @rule(place=places, comes=st.booleans())
    def a_device_comes_or_goes(self, place: int, comes: bool) -> None:
        (self.fleet.come_back if comes else self.fleet.vanish)(self._name(place))

    @rule(place=places, finds_it=st.booleans())
    def a_device_loses_its_disk(self, place: int, finds_it: bool) -> None:
        (self.fleet.lose if finds_it else self.fleet.set_back)(self._name(place))
        self.fleet.send(self._name(place))

    @rule(place=places, phase=st.sampled_from(PHASES), digest=st.sampled_from(CLAIMS))
    def a_device_lies(self, place: int, phase: Phase, digest: str) -> None:
        self.fleet.lie(self._name(place), phase, digest, 0)
        self.fleet.send(self._name(place))

    @rule(place=places)
    def a_device_says_not_now(self, place: int) -> None:
        self.fleet.lock(self._name(place), 300.0)

    @rule(seconds=st.sampled_from(SECONDS))
    def time_passes(self, seconds: float) -> None:
        self.fleet.pass_time(seconds)

    @rule(seconds=st.sampled_from((None, 300.0)))
    def a_window_closes(self, seconds: float | None) -> None:
        self.fleet.close_window(seconds)

    @rule(digest=st.sampled_from(VERSIONS))
    def a_version_goes_bad(self, digest: str) -> None:
        self.fleet.spoil(digest)

    def _name(self, place: int) -> str:
        return f"d{place % len(self.fleet.devices)}"
