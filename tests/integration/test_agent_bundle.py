"""`edge-agent bundle` beside a real agent, without it, and over what is left of a broken one."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge_agent.store.journal import JOURNAL_FILE
from tests.support.agents import AgentProcess
from tests.support.brokers import EmbeddedBroker
from tests.support.dated_certificates import DAY_S, issue
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module
from tests.support.waiting import wait_for

PASSWORD = "hunter2-of-the-broker"
USER = "token-that-is-a-user"
IN_THE_LOG = "sesame-in-the-log"


def bundle(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "edge_agent.cli", "bundle", *arguments],
        cwd=folder,
        capture_output=True,
        env={**os.environ, **(environment or {})},
        timeout=100,
        check=False,
    )


class Opened:
    """A bundle, read."""

    def __init__(self, data: bytes) -> None:
        self.files: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for entry in archive.getmembers():
                file = archive.extractfile(entry)
                assert file is not None
                self.files[entry.name.rpartition("/")[2]] = file.read()

    def json(self, name: str) -> Any:
        return json.loads(self.files[name])

    @property
    def missing(self) -> dict[str, str]:
        return {one["name"]: one["reason"] for one in self.json("manifest.json")["missing"]}

    def holds(self, word: str) -> list[str]:
        """The files that have a word in them."""
        return [name for name, data in self.files.items() if word.encode() in data]


@pytest.fixture
def agent(tmp_path: Path, nats_broker: EmbeddedBroker) -> Iterator[AgentProcess]:
    """One with a password in its settings, that runs a module."""
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    secret_url = nats_broker.url.replace("mqtt://", f"mqtt://{USER}:{PASSWORD}@")
    process = AgentProcess(tmp_path / "line-1", cloud.url, secret_url)
    process.start()
    process.await_status(30)
    built = build_module(tmp_path / "v1")
    cloud.publish_module(built)
    cloud.want("line-1", {"probe": wanted(built)})
    cloud.await_slot("probe", lambda slot: slot.running == built.digest)
    yield process
    process.stop()
    cloud.close()


def test_a_bundle_of_a_running_agent_has_all_and_no_secret(agent: AgentProcess) -> None:
    wait_for(lambda: "slot_active" in [event.name for event in agent.status().events], 30)
    with (agent.folder / "agent.log").open("a") as log:
        log.write(f"event=refused url=mqtt://me:{IN_THE_LOG}@127.0.0.1 password={IN_THE_LOG}\n")
    from_outside = "only-in-the-environment"
    done = bundle(
        agent.folder,
        *("--config", "agent.toml", "--log", "agent.log", "--out", "b.tar.gz"),
        environment={"EDGE_AGENT_DATA_BROKER": f"mqtt://someone:{from_outside}@127.0.0.1:1"},
    )
    assert done.returncode == 0, done.stderr
    path = agent.folder / "b.tar.gz"
    assert path.stat().st_mode & 0o777 == 0o600
    found = Opened(path.read_bytes())
    assert found.missing == {}
    assert found.json("status.json")["slots"]["probe"]["worker"]["state"] == "running"
    assert "slot_active" in [event["name"] for event in found.json("status.json")["events"]]
    assert found.json("explanations.json")["probe"]["agent"] == "answers"
    assert found.json("journal.json")["contents"]["slots"]["probe"]["target"]["version"] == 1
    assert {"name", "state", "text", "hint"} <= set(found.json("checks.json")[0])
    blobs = [file for file in found.json("files.json") if file["name"].startswith("blobs/")]
    assert len(blobs) > 1
    assert b"event=agent_started" in found.files["agent.log"]
    assert "shoal" in found.json("packages.json")
    assert b"VmRSS" in found.files["proc.txt"]
    for secret in (PASSWORD, USER, IN_THE_LOG, from_outside):
        assert found.holds(secret) == []
        assert secret.encode() not in done.stdout + done.stderr
    assert b"look through it before you send it" in done.stdout
    for name in found.files:
        assert name == "manifest.json" or name.encode() in done.stdout


def test_keys_are_told_by_their_mode_and_never_by_their_content(tmp_path: Path) -> None:
    own = issue(tmp_path, "line-1", not_before=1.0, not_after=1.0 + DAY_S)
    (tmp_path / "agent.toml").write_text(
        '[agent]\ndevice = "line-1"\nstate_dir = "state"\n[cloud]\nurl = "http://127.0.0.1:1"\n'
        'broker = "mqtt://127.0.0.1:1"\ncert_file = "line-1.crt"\nkey_file = "line-1.key"\n'
    )
    # Somebody logged it, too.
    (tmp_path / "agent.log").write_bytes(b"event=x\n" + own.key_file.read_bytes() + b"event=y\n")
    done = bundle(tmp_path, "--log", "agent.log", "--out", "-")
    assert done.returncode == 0, done.stderr
    found = Opened(done.stdout)
    key = own.key_file.read_text().splitlines()[1]
    assert found.holds(key) == []
    assert b"event=y" in found.files["agent.log"]
    told = {file["setting"]: file for file in found.json("settings.json")["files"]}
    assert told["cloud.key_file"]["mode"] == "-rw-------"
    assert "certificates" not in told["cloud.key_file"]
    assert told["cloud.cert_file"]["certificates"][0]["name"] == "line-1"
    expired = [one for one in found.json("checks.json") if one["name"] == "certificate"]
    assert expired[0]["state"] == "fail"


def test_what_is_left_of_a_killed_agent_with_a_damaged_journal_is_told(
    agent: AgentProcess,
) -> None:
    def is_copied() -> bool:
        copy = agent.state_dir / "committed.json"
        return copy.is_file() and b'"probe"' in copy.read_bytes()

    wait_for(is_copied, 30)
    agent.kill()
    for path in agent.state_dir.glob(f"{JOURNAL_FILE}*"):
        path.write_bytes(b"nonsense" * 1000)
    done = bundle(agent.folder, "--log", "agent.log", "--out", "b.tar.gz", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] == "line-1"
    found = Opened((agent.folder / "b.tar.gz").read_bytes())
    assert "no agent runs" in found.missing["status.json"]
    assert "journal.db" in found.missing
    assert found.json("journal.json")["source"] == "committed.json"
    assert found.json("explanations.json")["probe"]["agent"] == "does not run"
    states = {one["name"]: one["state"] for one in found.json("checks.json")}
    assert states["databases"] == "fail"
    assert found.json("outbox.json")["classes"] is not None
    assert found.holds(PASSWORD) == []


@pytest.mark.needs("mount")
def test_a_full_disk_is_looked_at_from_another_one(agent: AgentProcess, tmp_path: Path) -> None:
    agent.kill()
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(full)], check=True)
    try:
        for path in agent.state_dir.glob("*.*"):
            if path.is_file() and path.name != "ballast":
                (full / path.name).write_bytes(path.read_bytes())
        fill(full / "filler")
        config = agent.config.read_text().replace('"state"', f'"{full}"')
        (tmp_path / "full.toml").write_text(config)
        done = bundle(agent.folder, "--config", str(tmp_path / "full.toml"), "--out", "b.tar.gz")
        assert done.returncode == 0, done.stderr
        found = Opened((agent.folder / "b.tar.gz").read_bytes())
        assert found.json("journal.json")["contents"]["slots"]["probe"]["target"]["version"] == 1
        states = {one["name"]: one["state"] for one in found.json("checks.json")}
        assert (states["state directory"], states["disk"]) == ("fail", "warn")
        inside = bundle(full, "--config", str(tmp_path / "full.toml"), "--out", "b.tar.gz")
        assert inside.returncode == 1
        assert b"on another disk with --out" in inside.stderr
    finally:
        subprocess.run(["umount", str(full)], check=True)


def fill(file: Path) -> None:
    """Take every byte that the disk has left."""
    with file.open("wb", buffering=0) as filler:
        for size in (65_536, 4096, 1):
            with suppress(OSError):
                while filler.write(bytes(size)):
                    pass


def test_a_device_whose_agent_has_never_run_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('[agent]\ndevice = "line-1"\nstate_dir = "state"\n')
    done = bundle(tmp_path, "--out", "-")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["agent.toml"]


def test_where_there_is_no_room_the_way_out_is_named(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('[agent]\ndevice = "line-1"\nstate_dir = "state"\n')
    done = bundle(tmp_path, "--out", str(tmp_path / "no" / "such" / "b.tar.gz"))
    assert done.returncode == 1
    assert b"--out -" in done.stderr
