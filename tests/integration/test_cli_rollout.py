"""Rollouts as a person drives them, with a real service, real agents and `shoal`."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from cloud_sync.cli.versions import VersionLine
from cloud_sync.rollout_resources import RolloutDetail, RolloutEvent, RolloutPlan, RolloutState
from tests.support.agents import AgentProcess
from tests.support.rows import RowsClient, sample
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal, environment, publish_linear
from tests.support.waiting import wait_for

WAIT_S = 90.0
BARE = ("--soak", "0s", "--set", "soak_messages=0", "--set", "without_gates=all")
"""Judged by what devices report alone, at once."""
END = ("--every", "0.2", "--for", str(WAIT_S))


@contextmanager
def fleet(service: CloudService, folder: Path, *names: str) -> Iterator[list[AgentProcess]]:
    agents = [
        AgentProcess(folder / name, service.url, service.broker_url, device=name) for name in names
    ]
    try:
        for agent in agents:
            agent.start()
        yield agents
    finally:
        for agent in agents:
            agent.stop()


def start(shoal: Shoal, *arguments: str) -> str:
    """Start a rollout; its id."""
    found = shoal.ok("rollout", "start", *arguments, "--json").json(RolloutDetail)
    assert isinstance(found, RolloutDetail)
    return found.summary.id


def running(shoal: Shoal) -> dict[tuple[str, int], set[str]]:
    """Slot and version to the devices that run it."""
    lines = shoal.ok("fleet", "status", "--versions", "--json").json(list[VersionLine])
    assert isinstance(lines, list)
    return {(line.slot, line.version): set(line.running) for line in lines}


def detail(shoal: Shoal, rollout: str) -> RolloutDetail:
    found = shoal.ok("rollout", "status", rollout, "--json").json(RolloutDetail)
    assert isinstance(found, RolloutDetail)
    return found


def test_a_version_goes_in_stages_is_watched_over_a_restart_and_taken_back(
    service: CloudService, tmp_path: Path
) -> None:
    shoal = Shoal(service.url, actor="ada")
    publish_linear(shoal, tmp_path / "wine", bias=0.5, trial="{ seconds = 0.5 }")
    with fleet(service, tmp_path, "line-1", "line-2"):
        for device in ("line-1", "line-2"):
            shoal.ok("device", "add", device)
        said = shoal.ok("deploy", "wine", "--to", "all", "--wait", str(WAIT_S)).out
        assert "; it is rollout r1" in said
        publish_linear(shoal, tmp_path / "wine", bias=0.75)

        stages = ("--stages", "1,100%", "--set", "shadow_stages=0", *BARE)
        planned = shoal.ok("rollout", "plan", "wine/2", "--to", "all", *stages, "--json")
        plan = planned.json(RolloutPlan)
        assert isinstance(plan, RolloutPlan)
        assert [stage.size for stage in plan.stages] == [1, 1]
        assert (
            "nothing was changed; to begin: shoal rollout start wine/2"
            in shoal.ok("rollout", "plan", "wine/2", "--to", "all", *stages).out
        )

        rollout = start(
            shoal, "wine/2", "--to", "all", *stages, "--seed", str(plan.seed), "--reason", "recall"
        )
        shoal.ok("rollout", "pause", rollout)
        with watching(shoal, rollout, tmp_path) as (watch, out, err):
            wait_for(lambda: "running -> paused, paused by ada" in out.read_text(), WAIT_S)
            service.kill()
            wait_for(lambda: "lost the service, trying again" in err.read_text(), WAIT_S)
            service.start()
            shoal.ok("rollout", "resume", rollout)
            assert watch.wait(WAIT_S + 30) == 0, out.read_text() + err.read_text()
        said = out.read_text()
        assert said.startswith(f"{rollout}: wine/2 into slot wine, to all\n")
        assert said.splitlines()[-1].startswith(f"{rollout} completed")
        for line in ("stage 1 judging -> passed", "stage 2 judging -> passed"):
            assert said.count(line) == 1, said

        done = detail(shoal, rollout)
        assert [stage.counts for stage in done.summary.stages] == [{"committed": 1}] * 2
        assert running(shoal) == {("wine", 2): {"line-1", "line-2"}}
        listed = shoal.ok("rollout", "list").out.splitlines()
        assert listed[1].split()[:7] == [rollout, "wine/2", "completed", "2/2", "passed", "2", "2"]

        shoal.ok("rollout", "rollback", rollout, "--reason", "false alarms")
        back = shoal.run("rollout", "watch", rollout, *END)
        assert back.code == 1
        assert back.out.splitlines()[-1].startswith(f"{rollout} rolled back: 2 devices went back")
        assert running(shoal) == {("wine", 1): {"line-1", "line-2"}}
        history = shoal.ok("rollout", "history", rollout, "--json").json(list[RolloutEvent])
        assert isinstance(history, list)
        assert {event.actor for event in history} >= {"ada"}
        assert any("false alarms" in event.reason for event in history)
        device = shoal.ok("rollout", "history", rollout, "--device", "line-1").out
        assert "committed" in device
        assert "reverting" in device
        refused = shoal.run("rollout", "pause", rollout)
        assert refused.code == 1
        assert "what to do: " in refused.err


def test_somebody_else_has_to_approve(service: CloudService, tmp_path: Path) -> None:
    ada, bo = Shoal(service.url, actor="ada"), Shoal(service.url, actor="bo")
    publish_linear(ada, tmp_path / "wine", bias=0.5)
    ada.ok("device", "add", "line-1")
    said = ada.ok("rollout", "start", "wine", "--to", "all", "--approval").out
    assert said.startswith("r1 pending approval")
    assert "rollout approve r1" in said
    own = ada.run("rollout", "approve", "r1")
    assert own.code == 1
    assert "somebody else" in own.err
    assert bo.ok("rollout", "approve", "r1", "--reason", "seen").out.startswith("r1 running")
    assert bo.ok("rollout", "pause", "r1").out.startswith("r1 paused")
    assert "r1" in bo.ok("rollout", "list", "--active").out
    assert bo.ok("rollout", "abort", "r1").out.startswith("r1 cancelled")
    assert "r1" not in bo.ok("rollout", "list", "--active").out


def test_a_version_that_answers_wrongly_is_caught_as_a_shadow_and_the_watch_says_why(
    service: CloudService, tmp_path: Path
) -> None:
    shoal = Shoal(service.url, actor="ada")
    publish_linear(shoal, tmp_path / "wine", bias=0.5, trial="{ seconds = 0.5 }")
    with fleet(service, tmp_path, "line-1"):
        shoal.ok("device", "add", "line-1")
        shoal.ok("deploy", "wine", "--to", "all", "--wait", str(WAIT_S))
        publish_linear(shoal, tmp_path / "wine", bias=0.75)
        with rows(service, tmp_path / "wine"):
            rollout = start(
                shoal, "wine/2", "--to", "all", "--stages", "100%", "--on-error", "rollback",
                "--soak", "1s", "--set", "soak_messages=1",
            )  # fmt: skip
            watched = shoal.run("rollout", "watch", rollout, *END)
        assert watched.code == 1
        assert watched.out.splitlines()[-1].startswith(f"{rollout} rolled back")
        assert "gate disagreement failed, measured 100 %, limit" in watched.out
        shown = detail(shoal, rollout)
        assert shown.summary.state is RolloutState.ROLLED_BACK
        text = shoal.ok("rollout", "status", rollout).out
        assert "disagreement  failed" in text
        assert running(shoal)["wine", 1] == {"line-1"}


def test_the_python_of_the_guide_starts_a_rollout_and_reads_its_events(
    service: CloudService, tmp_path: Path
) -> None:
    shoal = Shoal(service.url)
    publish_linear(shoal, tmp_path / "wine", bias=0.5)
    shoal.ok("device", "add", "line-1")
    shoal.ok("device", "tag", "line-1", "site=oslo")
    guide = Path(__file__).parents[2] / "docs" / "guides" / "rollouts.md"
    code = guide.read_text().split("```python\n", 1)[1].split("```", 1)[0]
    code = code.replace("http://127.0.0.1:8080", service.url)
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert said.startswith("()\n")
    assert "None running started by ci" in said
    assert detail(shoal, "r1").summary.created_by == "ci"


@contextmanager
def watching(
    shoal: Shoal, rollout: str, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """`shoal rollout watch` in a process of its own, and the files that it writes to."""
    out, err = folder / "watch.out", folder / "watch.err"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        process = subprocess.Popen(
            [sys.executable, "-m", "cloud_sync.cli.main", "rollout", "watch", rollout, *END],
            env=environment(shoal.url, shoal.actor), stdin=subprocess.DEVNULL,
            stdout=to_out, stderr=to_err,
        )  # fmt: skip
    try:
        yield process, out, err
    finally:
        process.kill()
        process.wait(10)


@contextmanager
def rows(service: CloudService, folder: Path) -> Iterator[None]:
    """Messages, until the end."""
    broker = httpx.URL(service.broker_url)
    client = RowsClient(broker.host, broker.port or 1883)
    topic, payload = sample(folder)
    is_over = threading.Event()

    def send() -> None:
        while not is_over.wait(0.02):
            client.send(topic, payload)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        is_over.set()
        sender.join(10)
        client.close()
