"""A fleet that is told something at once does not ask for it at once."""

import random
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cloud_sync.fleet.spread import LONGEST_SPREAD_S, STARTS_PER_S, spread_s
from cloud_sync.resources import Deployment
from cloud_sync.rollout.deployments import Deployments
from edge_agent.contract.state import AgentSettings, DesiredState
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import decode
from edge_agent.link.reconnect import reconnect_delay_s
from edge_agent.reconcile.retry import first_delay_s
from tests.support.cloud import Cloud, change, cloud

FLEET = 1000


def busiest_second(moments: Iterable[float]) -> int:
    """Most of these that fall into any one second, wherever it begins."""
    times = sorted(moments)
    return max(bisect_left(times, start + 1.0) - at for at, start in enumerate(times))


def test_a_single_device_waits_for_nobody():
    assert spread_s(1, STARTS_PER_S) == 0.0
    assert first_delay_s(spread_s(1, STARTS_PER_S), 0.999) == 0.0


@given(st.integers(2, 10**7), st.floats(0.1, 10_000), st.floats(0, 1))
def test_the_window_grows_with_the_number_of_devices_up_to_an_hour(devices, rate, chance):
    window = spread_s(devices, rate)
    assert 0 < window <= LONGEST_SPREAD_S
    assert spread_s(devices + 1, rate) >= window
    assert 0 <= first_delay_s(window, chance) <= window


@given(st.integers(0, 2**32))
def test_a_thousand_devices_that_are_told_at_once_never_ask_at_once(seed):
    draw = random.Random(seed)
    window = spread_s(FLEET, STARTS_PER_S)
    starts = [first_delay_s(window, draw.random()) for _ in range(FLEET)]
    assert busiest_second(starts) <= 2 * STARTS_PER_S


@given(st.integers(0, 2**32))
def test_a_thousand_devices_whose_broker_comes_back_never_come_at_once(seed):
    draw = random.Random(seed)
    window = spread_s(FLEET, STARTS_PER_S)
    returns = [
        reconnect_delay_s(1, draw.random(), spread_s=window, was_ready=True) for _ in range(FLEET)
    ]
    assert busiest_second(returns) <= 2 * STARTS_PER_S


def told(one: Cloud, device: str) -> AgentSettings:
    with one.parts.database.read() as connection:
        from cloud_sync.fleet.desired import read_desired

        return read_desired(connection, device).settings


def deployments(one: Cloud, starts_per_s: float) -> Deployments:
    return Deployments(one.parts.database, one.publisher, lambda: None, starts_per_s=starts_per_s)


def test_a_deployment_tells_the_window_of_the_devices_that_it_concerns(tmp_path: Path):
    with cloud(tmp_path) as one:
        for number in range(20):
            one.parts.devices.register(f"line-{number}", change())
        one.publish()
        deployer = deployments(one, 4.0)
        deployer.deploy(Deployment(module="probe", to="line-1"), change())
        assert told(one, "line-1") == AgentSettings(reconnect_spread_s=5.0)
        deployer.deploy(Deployment(module="probe", to="all"), change())
        # It runs there already, so 19 are concerned; how many there are is another matter.
        assert told(one, "line-1").fetch_spread_s == 0.0
        assert told(one, "line-2") == AgentSettings(fetch_spread_s=19 / 4, reconnect_spread_s=5.0)


def test_what_a_device_is_told_stands_in_its_desired_state(tmp_path: Path):
    with cloud(tmp_path) as one:
        for name in ("a", "b"):
            one.parts.devices.register(name, change())
        one.publish()
        deployments(one, 1.0).deploy(Deployment(module="probe", to="all"), change())
        one.publisher._publish_one("a")
        topic, payload = one.line.published[-1]
        assert topic == control("a", Channel.DESIRED)
        assert decode(DesiredState, payload).settings.fetch_spread_s == 2.0
