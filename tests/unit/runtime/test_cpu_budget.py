"""A shadow's share of the processor: what is used too much is rested off."""

import pytest

from edge_agent.runtime.cpu_budget import CpuBudget


def test_within_the_share_there_is_no_rest():
    budget = CpuBudget(0.5, cpu_s=0.0, now=0.0)
    for second in range(1, 10):
        assert budget.rest_s(cpu_s=0.4 * second, now=float(second)) == 0


def test_what_was_used_too_much_is_rested_until_the_share_is_kept():
    budget = CpuBudget(0.2, cpu_s=0.0, now=0.0)
    cpu_s = now = 0.0
    for _ in range(200):
        cpu_s, now = cpu_s + 0.05, now + 0.05  # as busy as one thread can be
        now += budget.rest_s(cpu_s=cpu_s, now=now)
    assert budget.used_share(cpu_s=cpu_s, now=now) == pytest.approx(0.2, abs=0.01)


def test_a_quiet_hour_does_not_become_a_busy_minute():
    budget = CpuBudget(0.2, cpu_s=0.0, now=0.0)
    assert budget.rest_s(cpu_s=0.0, now=3600.0) == 0
    assert budget.rest_s(cpu_s=1.0, now=3601.0) == pytest.approx((1.0 - 0.1 - 0.2) / 0.2, abs=0.6)


def test_a_whole_core_never_rests():
    budget = CpuBudget(1.0, cpu_s=0.0, now=0.0)
    assert budget.rest_s(cpu_s=5.0, now=1.0) == 0
