"""Processors that a process may use: cpusets, and quotas of both kinds of control groups."""

from pathlib import Path

import pytest

from edge_agent.runtime.cpus import (
    Cgroup,
    allowed_cpus,
    cgroups,
    quota_v1,
    quota_v2,
    whole_cpus,
)

UNIFIED = "0::/system.slice/edge-agent.service\n"
SPLIT = "4:memory:/m\n2:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n0::/u\n"
MOUNT_V2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
MOUNT_V1 = (
    "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "32 24 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2.0),
        ("50000 100000", 0.5),
        ("", None),
        ("100000", None),
        ("1 0", None),
        ("words here", None),
    ],
)
def test_quota_of_version_2(text: str, cpus: float | None) -> None:
    assert quota_v2(text) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [("-1\n", "100000\n", None), ("150000\n", "100000\n", 1.5), ("", "", None), ("1", "0", None)],
)
def test_quota_of_version_1(quota: str, period: str, cpus: float | None) -> None:
    assert quota_v1(quota, period) == cpus


def test_groups_are_found_where_they_are_mounted() -> None:
    assert cgroups(UNIFIED, MOUNT_V2) == [
        Cgroup(2, "/sys/fs/cgroup", "system.slice/edge-agent.service")
    ]
    # In a container the mount is the group itself.
    assert cgroups(SPLIT, MOUNT_V1) == [Cgroup(1, "/sys/fs/cgroup/cpu,cpuacct", ".")]
    assert cgroups("0::/../other\n", MOUNT_V2)[0].version == 2
    assert cgroups("", "nonsense\n\n") == []


def test_every_group_above_counts_up_to_the_mount() -> None:
    assert [str(folder) for folder in Cgroup(2, "/sys/fs/cgroup", "a/b").folders()] == [
        "/sys/fs/cgroup/a/b",
        "/sys/fs/cgroup/a",
        "/sys/fs/cgroup",
    ]


@pytest.mark.parametrize(
    ("affinity", "quotas", "cpus"),
    [
        (4, [], 4),
        (4, [2.0], 2),
        (2, [8.0], 2),
        (8, [4.0, 1.5], 1),
        (4, [0.1], 1),
    ],
)
def test_the_tightest_bound_holds_and_parts_are_rounded_off(
    affinity: int, quotas: list[float], cpus: int
) -> None:
    assert whole_cpus(affinity, quotas) == cpus


def test_a_quota_above_the_own_group_is_found(tmp_path: Path) -> None:
    mount = tmp_path / "cgroup"
    (mount / "slice" / "unit").mkdir(parents=True)
    (mount / "slice" / "unit" / "cpu.max").write_text("max 100000\n")
    (mount / "slice" / "cpu.max").write_text("300000 100000\n")
    proc = tmp_path / "self"
    proc.mkdir()
    (proc / "cgroup").write_text("0::/slice/unit\n")
    (proc / "mountinfo").write_text(f"30 24 0:26 / {mount} rw - cgroup2 cgroup2 rw\n")
    assert allowed_cpus(proc, affinity=8) == 3
    assert allowed_cpus(proc, affinity=2) == 2


def test_without_control_groups_the_affinity_alone_counts(tmp_path: Path) -> None:
    assert allowed_cpus(tmp_path, affinity=5) == 5
    assert allowed_cpus() >= 1
