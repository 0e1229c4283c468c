"""Fixtures shared by all tests, and the rule for tests that need an outside program."""

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks.peers.environment import python_of
from cloud_sync.broker.embedded import EmbeddedBroker
from edge_agent.runtime.launcher import Launcher
from tests.faults import image
from tests.support.brokers import Broker, MosquittoBroker
from tests.support.service import CloudService

PROGRAMS = {
    "cc": ("cc", "/usr/bin/cc"),
    "curl": ("curl", "/usr/bin/curl"),
    "faketime": ("faketime", "/usr/bin/faketime"),
    "mosquitto": ("mosquitto", "/usr/sbin/mosquitto"),
    "mosquitto-clients": ("mosquitto_pub", "/usr/bin/mosquitto_pub"),
    "openssl": ("openssl", "/usr/bin/openssl"),
    "postgresql": ("postgres", "/usr/lib/postgresql/*/bin/postgres"),
    "systemd-analyze": ("systemd-analyze", "/usr/bin/systemd-analyze"),
}
"""What a test may need: the program's name on the PATH, and where Debian puts it."""

# No example is refused for being slow: the machine may be busy, and tests are no stopwatches.
settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")

# A shell starts what runs in its background with SIGINT ignored, and children inherit that: the
# programs that tests interrupt would never end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MAY_BE_FORBIDDEN = frozenset({"loop mounts"})
"""What no installation brings where the machine's owner has not allowed it: always named, never a
failure."""

_missing: dict[str, int] = {}


def has_program(name: str) -> bool:
    if name == "mount":
        return can_mount()
    if name == "loop mounts":
        return can_mount_images()
    if name == "kserve":
        return python_of(name) is not None
    if name == "atheris":  # a package, but one without wheels for every machine
        return importlib.util.find_spec(name) is not None
    command, path = PROGRAMS[name]
    return shutil.which(command) is not None or any(Path("/").glob(path[1:]))


@functools.cache
def can_mount_images() -> bool:
    """Whether a file can be mounted as a disk here; even where mounting is allowed, this may not
    be."""
    return image.can_mount()


@functools.cache
def can_mount() -> bool:
    """Whether a small file system can be mounted here; containers often forbid it."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        is_allowed = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if is_allowed:
            subprocess.run(["umount", folder], check=True)
    return is_allowed


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, by name; with SHOAL_TEST_REQUIRE=all, fail it."""
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if has_program(name):
                continue
            if os.environ.get("SHOAL_TEST_REQUIRE") == "all" and name not in MAY_BE_FORBIDDEN:
                pytest.fail(f"needs {name}, which is not to be had here", pytrace=False)
            _missing[name] = _missing.get(name, 0) + 1
            pytest.skip(f"needs {name}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the very last lines what was not tested, and why."""
    for name, count in sorted(_missing.items()):
        print(f"SKIPPED for want of '{name}': {count} test(s). Install it to run them.")


@pytest.fixture
def nats_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path / "nats")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def mosquitto_broker(tmp_path: Path) -> Iterator[MosquittoBroker]:
    broker = MosquittoBroker(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(
    params=["nats", pytest.param("mosquitto", marks=pytest.mark.needs("mosquitto"))],
)
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """The same test on the embedded broker and on mosquitto."""
    kind = EmbeddedBroker if request.param == "nats" else MosquittoBroker
    broker: Broker = kind(tmp_path / request.param)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    """Starts worker processes."""
    one = Launcher()
    yield one
    one.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[CloudService]:
    """A running cloud-sync with its embedded broker."""
    running = CloudService(tmp_path / "cloud").start()
    yield running
    running.stop()
