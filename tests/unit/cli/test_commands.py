"""Every command of `shoal`, found by walking the tree: nothing here is a list to keep up."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cloud_sync.cli.main import app
from cloud_sync.client.paging import PAGE
from tests.support.brokers import free_port
from tests.support.scripted_http import ScriptedService, answer, problem
from tests.support.shoal_command import Outcome, Shoal, environment

INTERACTIVE = {"demo"}
"""Commands that tell a story to a person and have nothing to print as JSON."""

ALONE = {"rollout policy"}
"""Commands that need nothing, so that nothing can fail."""


def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:  # Any: typer's type is not public
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for child, below in children.items():
        yield from walk(f"{name} {child}".strip(), below)


COMMANDS = dict(walk("", typer.main.get_command(app)))


def test_the_commands_of_the_guide_are_there() -> None:
    assert {"module init", "module build", "module check", "module publish"} <= COMMANDS.keys()
    assert {"model register", "model search", "model download"} <= COMMANDS.keys()
    assert {"rollout plan", "rollout start", "rollout watch", "rollout rollback"} <= COMMANDS.keys()
    assert {"deploy", "remove", "fleet status", "device explain", "info"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_gives_an_example(name: str) -> None:
    text = COMMANDS[name].help
    assert text.strip().splitlines()[0].endswith(".")
    assert "Example" in text
    assert re.search(rf"shoal (--(server|actor) \S+ )?{name}\b", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_argument_and_option_is_described(name: str) -> None:
    undescribed = [p.name for p in COMMANDS[name].params if not (p.help or p.name == "help")]
    assert undescribed == []


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - INTERACTIVE))
def test_every_command_has_json(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['shoal', '--help']\n"
        "from cloud_sync.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as done: assert done.code == 0\n"
        "heavy = {'httpx', 'rich', 'onnx', 'onnxruntime', 'numpy', 'sqlalchemy', 'litestar'}\n"
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert "module" in finished.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("model", "show"),
        ("model", "list", "--limit", "0"),
        ("deploy", "m"),
        ("model", "list", "--tag", "no-equals-sign"),
        ("device", "tag", "line-1"),
    ],
)
def test_wrong_usage_exits_with_2_before_anything_is_asked(arguments: tuple[str, ...]) -> None:
    outcome = Shoal().run(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("deploy", "wine", "--to", ""),
        ("remove", "wine", "--to", " "),
        ("rollout", "plan", "wine", "--to", ""),
        ("rollout", "start", "wine", "--to", ""),
        ("group", "add", "winter", ""),
        ("group", "remove", "winter", ""),
    ],
)
def test_a_target_of_nothing_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...],
) -> None:
    outcome = Shoal().run(*arguments)
    assert outcome.code == 2
    assert "expected devices, found nothing" in outcome.err


def test_a_service_that_is_down_is_said_in_two_lines() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    outcome = Shoal(url).run("fleet", "status")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.splitlines() == [
        f"error: no answer from {url}: connection refused",
        f"what to do: is cloud-sync serve running at {url}?",
    ]


@pytest.mark.parametrize("ref", ["Shuttle", "shuttle/0", "shuttle/x", "../x"])
def test_a_malformed_name_is_refused_here(ref: str) -> None:
    outcome = Shoal().run("model", "show", ref)
    assert outcome.code == 1
    assert outcome.err.startswith("error: ")


def test_a_fleet_whose_devices_cannot_be_called_so_is_refused_before_anything_is_asked() -> None:
    nobody = Shoal(f"http://127.0.0.1:{free_port()}")
    outcome = nobody.run("fleet", "simulate", "-n", "2", "--name", "Bad_Name", "--seconds", "3")
    assert outcome.code == 1
    assert outcome.err.startswith("error: device name expected")
    assert "Traceback" not in outcome.err


def test_a_problem_of_the_service_keeps_its_text_and_hint() -> None:
    with ScriptedService() as service:
        service.on("GET", "/v1/devices/lin-1", problem(404, "not_found", "no lin-1", "line-1?"))
        outcome = Shoal(service.url).run("device", "show", "lin-1")
    assert (outcome.code, outcome.err) == (1, "error: no lin-1\nwhat to do: line-1?\n")


def test_options_of_the_root_and_the_actor_reach_the_service() -> None:
    with ScriptedService() as service:
        service.on("GET", "/v1/devices", answer([]))
        from_environment = Shoal(service.url, actor="ada")
        assert from_environment.process("device", "list", "--tag", "a=1", "--tag", "b=2").code == 0
        Shoal("http://127.0.0.1:1").ok("-s", service.url, "--actor", "bob", "fleet", "status")
    first, second = (one for one in service.requests if one.path == "/v1/devices")
    assert first.headers["x-shoal-actor"] == "ada"
    assert first.query["tag"] == ["a=1", "b=2"]
    assert second.headers["x-shoal-actor"] == "bob"


@pytest.mark.parametrize("kind", ["model", "module"])
def test_a_list_has_every_version_however_many_there_are(kind: str) -> None:
    same: dict[str, object] = {
        "name": "many",
        "description": "",
        "created": 1.0,
        "created_by": "ada",
    }
    same |= (
        {"framework": "", "files": [], "tags": {}, "properties": {}}
        if kind == "model"
        else {"digest": f"sha256:{'0' * 64}", "size": 1, "license": "", "metrics": {}}
    )
    found = [same | {"version": number} for number in range(5 * PAGE + 1, 0, -1)]
    with ScriptedService() as service:
        parts = [found[start : start + PAGE] for start in range(0, len(found), PAGE)]
        service.on("GET", f"/v1/{kind}s", *(answer(part) for part in parts))
        outcome = Shoal(service.url).process(kind, "list", "--json")
    assert len(json.loads(outcome.out)) == len(found)


def test_json_is_the_resource_as_the_service_gave_it() -> None:
    info = {
        "ok": False,
        "version": "1",
        "database": "sqlite",
        "broker": "embedded",
        "broker_connected": False,
        "broker_url": "mqtt://127.0.0.1:1883",
    }
    with ScriptedService() as service:
        service.on("GET", "/v1/info", answer(info))
        outcome = Shoal(service.url).run("info", "--json")
    assert outcome.json() == info
    assert outcome.code == 1  # a part of the service does not work


def test_a_reader_that_goes_away_is_not_complained_about() -> None:
    event = {
        "id": 1,
        "time": 1.0,
        "device": "d",
        "slot": "s",
        "name": "n",
        "level": "info",
        "text": "x" * 1000,
    }
    with ScriptedService() as service:
        service.on("GET", "/v1/events", answer([event] * 1000))
        command = [sys.executable, "-m", "cloud_sync.cli.main", "events"]
        with subprocess.Popen(
            command,
            env=environment(service.url, "t"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            running.stdout.readline()
            running.stdout.close()
            assert running.stderr.read() == b""
            running.wait(30)


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_watching_outlives_a_service_that_goes_away(form: tuple[str, ...]) -> None:
    away = problem(503, "unavailable", "starting")
    command = [sys.executable, "-m", "cloud_sync.cli.main", "fleet", "status"]
    with ScriptedService() as service:
        service.on("GET", "/v1/devices", answer([]), away, away, answer([]))
        with subprocess.Popen(
            [*command, "--watch", "--every", "0.2", *form],
            env=environment(service.url, "t"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            texts_out = (line for line in running.stdout if line.strip())
            seen = [next(texts_out) for _ in range(3)]
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=30)
    assert len(set(seen)) == 1
    assert running.returncode == 130
    said = err.splitlines()
    assert len(said) == 2
    texts = [json.loads(line)["warning"] if form else line for line in said]
    assert "lost the service, trying again in 0.4 s: starting" in texts[0]
    assert "lost the service, trying again in 0.8 s: starting" in texts[1]


def test_watching_what_was_never_there_fails_at_once() -> None:
    outcome = Shoal(f"http://127.0.0.1:{free_port()}").run("fleet", "status", "--watch", "--json")
    assert outcome.code == 1
    assert error_in(outcome)["code"] == "unavailable"


def test_the_version_is_printed() -> None:
    assert Shoal().ok("--version").out.startswith("shoal 0.")


COMPLETE = {
    "module init": ("--model", "missing.onnx"),  # it needs no service, and would succeed
    "device tag": ("a=b",),
    "model tag": ("a=b",),
    "group set": ("--rank", "1"),
    "config set": ("uplink=all", "--fleet"),
    "config unset": ("--fleet",),
    "rollout plan": ("x/1",),
    "rollout start": ("x/1", "--to", "all"),
}
"""What a command must be given that is not marked as required."""


def typed(name: str) -> list[str]:
    """A command with something in the place of all that it needs."""
    words = name.split()
    for parameter in COMMANDS[name].params:
        if parameter.required:
            value = "x/1" if "VERSION" in (parameter.metavar or "") else "x"
            is_option = parameter.param_type_name == "option"
            words += [parameter.opts[0], "all"] if is_option else [value]
    return [*words, *COMPLETE.get(name, ())]


def error_in(outcome: Outcome) -> dict[str, str]:
    """The one error that was written as JSON."""
    (line,) = outcome.err.splitlines()
    (error,) = json.loads(line).values()
    assert set(error) == {"code", "text", "hint"}
    assert error["code"]
    assert error["text"]
    return dict(error)


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_usage_of_every_command_is_said_as_every_other_error(name: str) -> None:
    outcome = Shoal().run(*name.split(), "--nonsense")
    assert outcome.code == 2
    assert outcome.out == ""
    error, advice = outcome.err.splitlines()
    assert error.startswith("error: ")
    assert advice == f"what to do: `shoal {name} --help` says what it takes"


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - INTERACTIVE - ALONE))
def test_every_command_fails_in_json_when_it_is_asked_for_json(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usage = Shoal().run(*name.split(), "--json", "--nonsense")
    assert usage.code == 2
    assert error_in(usage)["code"] == "usage"
    failed = Shoal(f"http://127.0.0.1:{free_port()}").run(*typed(name), "--json")
    assert (failed.code, failed.out) == (1, "")
    assert error_in(failed)["code"] != "internal"
