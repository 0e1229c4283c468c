"""The device's command line against a real agent."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.authoring.build import build
from cloud_sync.authoring.built_folder import write_build
from cloud_sync.authoring.init import init_module
from tests.support import onnx_zoo as zoo
from tests.support.agents import AgentProcess, edge_agent
from tests.support.brokers import EmbeddedBroker
from tests.support.fake_cloud import FakeCloud, wanted
from tests.support.models import build_module


@pytest.fixture
def agent(tmp_path: Path, nats_broker: EmbeddedBroker) -> Iterator[AgentProcess]:
    cloud = FakeCloud()
    cloud.connect(nats_broker.host, nats_broker.port)
    process = AgentProcess(tmp_path / "line-1", cloud.url, nats_broker.url)
    process.start()
    process.await_status()
    built = build_module(tmp_path / "v1", bias=1.0)
    cloud.publish_module(built)
    cloud.want("line-1", {"probe": wanted(built)})
    cloud.await_slot("probe", lambda slot: slot.running == built.digest)
    yield process
    process.stop()
    cloud.close()


def test_status_explain_and_infer_tell_of_a_running_agent(agent: AgentProcess) -> None:
    folder = agent.folder
    shown = edge_agent("status", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "probe" in shown.stdout
    found = json.loads(edge_agent("status", "--json", cwd=folder).stdout)
    assert found["slots"]["probe"]["worker"]["state"] == "running"
    explained = json.loads(edge_agent("explain", "probe", "--json", cwd=folder).stdout)
    assert explained["running"] == explained["wanted"] == "probe/1"
    assert explained["advice"]
    missing = edge_agent("explain", "prob", cwd=folder)
    assert missing.returncode == 1
    assert "did you mean 'probe'?" in missing.stderr
    (folder / "row.json").write_text('{"a": 1, "b": 1, "c": 1, "id": 3}')
    answer = edge_agent("infer", "probe", "row.json", "--json", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)["result"]
    assert (result["id"], result["version"], result["outputs"]["score"]) == (3, 1, [7.0])
    (folder / "bad.json").write_text("no json")
    refused = edge_agent("infer", "probe", "bad.json", cwd=folder)
    assert refused.returncode == 1
    assert '"code"' in refused.stdout


def unspaced(text: str) -> str:
    return "".join(text.split())


def test_an_agent_that_hangs_is_not_said_to_be_stopped(agent: AgentProcess) -> None:
    assert agent.process is not None
    os.kill(agent.process.pid, signal.SIGSTOP)
    try:
        shown = edge_agent("explain", "probe", cwd=agent.folder)
        checked = edge_agent("check", "--json", cwd=agent.folder)
    finally:
        os.kill(agent.process.pid, signal.SIGCONT)
    assert shown.returncode == 0, shown.stderr
    told = " ".join(shown.stdout.split())
    assert "runs not known: the agent does not answer" in told
    assert "start it" not in told
    finding = next(one for one in json.loads(checked.stdout) if one["name"] == "agent")
    assert "does not answer" in finding["text"]
    # The folder's name may be too long for a line, and is then broken.
    assert unspaced(finding["text"]) in unspaced(told)
    assert unspaced(finding["hint"]) in unspaced(told)


def test_check_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    made = edge_agent(
        "init", "--device", "line-1", "--cloud", "http://127.0.0.1:1", "--broker",
        "mqtt://127.0.0.1:1", cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert edge_agent("check", cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["agent.toml"]  # nothing was made
    again = edge_agent("init", "--device", "line-1", cwd=tmp_path)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    found = edge_agent("check", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    states = {finding["name"]: finding["state"] for finding in json.loads(found.stdout)}
    assert states["state directory"] == states["onnxruntime"] == "ok"
    assert states["cloud"] == states["cloud broker"] == states["agent"] == "warn"
    hints = [finding["hint"] for finding in json.loads(found.stdout) if finding["state"] == "warn"]
    assert all(hints)
    told = [finding for finding in json.loads(found.stdout) if finding["name"] == "providers"]
    assert (told[0]["state"], told[0]["text"]) == ("ok", "usable: cpu")
    with (tmp_path / "agent.toml").open("a") as file:
        file.write('[hardware]\nproviders = ["cann"]\n')
    found = edge_agent("check", "--json", cwd=tmp_path)
    told = [finding for finding in json.loads(found.stdout) if finding["name"] == "providers"]
    assert told[0]["state"] == "warn"
    assert "cann is not used: the installed onnxruntime does not offer it" in told[0]["text"]


def test_init_refuses_a_password_for_the_cloud_and_leaves_no_file(tmp_path: Path) -> None:
    done = edge_agent("init", "--device", "a", "--cloud", "http://alice:zebra@h", cwd=tmp_path)
    assert done.returncode == 1
    assert "no user and no password" in done.stderr
    assert "zebra" not in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


def test_infer_runs_a_module_folder_without_an_agent(tmp_path: Path) -> None:
    built = build_module(tmp_path / "module", bias=1.0)
    (tmp_path / "row.json").write_text('{"a": 1, "b": 2, "c": 3}')
    answer = edge_agent("infer", "module", "row.json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "results/sample/rows" in answer.stdout
    model = built.manifest.model.blob.digest.removeprefix("sha256:")
    (tmp_path / "module" / model).write_bytes(b"x" * built.manifest.model.blob.size)
    damaged = edge_agent("infer", "module", "row.json", cwd=tmp_path)
    assert damaged.returncode == 1
    assert damaged.stderr.startswith("error: ")
    assert "Traceback" not in damaged.stderr


def test_infer_runs_a_folder_that_shoal_module_build_has_built(tmp_path: Path) -> None:
    model = zoo.save(zoo.identity(), tmp_path / "their.onnx")
    folder = tmp_path / "my module"
    init_module(folder, "m", model_file=model)
    (tmp_path / "row.json").write_text('{"f1": 1, "f2": 2}')
    unbuilt = edge_agent("infer", "my module", "row.json", cwd=tmp_path)
    assert unbuilt.returncode == 1
    assert "shoal module build 'my module'" in unbuilt.stderr
    write_build(folder, build(folder))
    answer = edge_agent("infer", "my module", "row.json", "--json", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["result"]["outputs"] == {"y": [1.0, 2.0]}
    built_ns = (folder / "build/manifest.json").stat().st_mtime_ns
    os.utime(folder / "module.toml", ns=(built_ns + 1, built_ns + 1))
    stale = edge_agent("infer", "my module", "row.json", cwd=tmp_path)
    assert stale.returncode == 1
    assert "was changed after" in stale.stderr
    assert "shoal module build 'my module'" in stale.stderr


def test_errors_are_two_lines_and_no_traceback(tmp_path: Path) -> None:
    missing = edge_agent("status", cwd=tmp_path)
    assert missing.returncode == 1
    assert "no settings file" in missing.stderr
    assert "what to do:" in missing.stderr
    (tmp_path / "agent.toml").write_text("[agent]\ndevise = 'x'\n")
    wrong = edge_agent("run", cwd=tmp_path)
    assert wrong.returncode == 1
    assert "line 2: unknown key 'devise'" in wrong.stderr
    assert "did you mean 'device'?" in wrong.stderr
    (tmp_path / "agent.toml").write_text("[agent]\ndevice = 'x'\nstate_dir = 's'\n")
    down = edge_agent("status", cwd=tmp_path)
    assert down.returncode == 1
    assert "no agent runs on" in down.stderr
