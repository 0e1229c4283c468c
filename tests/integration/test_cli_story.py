"""The people's commands against the real service process, as a person would type them."""

from pathlib import Path

import pytest

from cloud_sync.resources import (
    AuditEntry,
    DeploymentResult,
    DeviceSummary,
    ModelVersion,
    ModulePublished,
)
from edge_agent.contract.names import digest_of
from tests.support.models import linear_model
from tests.support.service import CloudService
from tests.support.shoal_command import Shoal


@pytest.fixture
def shoal(service: CloudService) -> Shoal:
    return Shoal(service.url, actor="ada")


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_model_of_several_files_comes_back_as_it_went(shoal: Shoal, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "vocabulary").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 20_000)  # 5 MB, many chunks
    (folder / "vocabulary" / "en.txt").write_text("sensor\n")
    (folder / "empty").write_bytes(b"")
    card = tmp_path / "card.md"
    card.write_text("# A model\n")

    said = shoal.ok(
        *("model", "register", "reader", str(folder), str(card), "--framework", "pytorch"),
        *("--tag", "stage=trial", "--property", "f1=0.998", "--description", "reads sensors"),
    )
    assert said.out == "registered reader/1: 4 files, 5.1 MB\n"
    again = shoal.ok("model", "register", "reader", str(card), "--json").json(ModelVersion)
    assert (again.version, again.created_by) == (2, "ada")

    first = shoal.ok("model", "show", "reader/1", "--json").json(ModelVersion)
    assert (first.framework, first.tags, first.properties) == (
        "pytorch",
        {"stage": "trial"},
        {"f1": "0.998"},
    )
    shown = shoal.ok("model", "show", "reader/1").out
    assert "vocabulary/en.txt" in shown
    assert "reads sensors" in shown

    back = tmp_path / "back"
    said = shoal.ok("model", "download", "reader/1", str(back))
    assert said.out == f"fetched reader/1 to {back}: 4 files, 5.1 MB, verified\n"
    assert files_below(back) == files_below(folder) | {"card.md": card.read_bytes()}

    (back / "card.md").write_text("changed here")
    shoal.ok("model", "download", "reader/1", str(back))
    assert (back / "card.md").read_bytes() == card.read_bytes()


def test_models_are_found_by_name_tag_and_property_and_change_state(
    shoal: Shoal, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    for name, stage in (("shuttle-a", "trial"), ("shuttle-b", "production"), ("motion", "trial")):
        file.write_text(name)
        shoal.ok("model", "register", name, str(file), "--tag", f"stage={stage}")

    def names(*arguments: str) -> set[str]:
        found = shoal.ok("model", *arguments, "--json").json(list[ModelVersion])
        return {f"{model.name}/{model.version}" for model in found}

    assert names("list") == {"shuttle-a/1", "shuttle-b/1", "motion/1"}
    assert names("list", "--name", "shuttle-*") == {"shuttle-a/1", "shuttle-b/1"}
    assert names("search", "utt", "--tag", "stage=trial") == {"shuttle-a/1"}
    assert names("search", "--property", "f1=1") == set()
    assert shoal.ok("model", "list", "--name", "none").out == "no models match\n"

    shoal.ok("model", "tag", "motion/1", "site=hall 2", "--remove", "stage")
    assert names("list", "--tag", "site=hall 2") == {"motion/1"}
    shoal.ok("model", "retire", "motion/1", "--reason", "too slow")
    assert names("list") == {"shuttle-a/1", "shuttle-b/1"}
    assert "motion/1" in names("list", "--retired")
    assert shoal.ok("model", "delete", "motion/1").out.startswith("deleted ")
    assert "motion/1" not in names("list", "--retired")

    missing = shoal.run("model", "show", "shutle-a")
    assert missing.code == 1
    assert "did you mean 'shuttle-a'?" in missing.err
    log = shoal.ok("audit", "--json").json(list[AuditEntry])
    assert any(entry.actor == "ada" and entry.reason == "too slow" for entry in log)


def test_devices_are_tagged_targeted_and_explained(shoal: Shoal) -> None:
    for device in ("line-1", "line-2"):
        shoal.ok("device", "add", device)
    shoal.ok("device", "tag", "line-1", "site=hall-2")
    tagged = shoal.ok("device", "list", "--tag", "site=hall-2", "--json").json(list[DeviceSummary])
    assert [device.device for device in tagged] == ["line-1"]

    status = shoal.ok("fleet", "status").out.splitlines()
    assert status[1].split()[:4] == ["line-1", "unknown,", "never", "seen"]
    assert "presence" in shoal.ok("device", "show", "line-1").out
    assert "no health report yet" in shoal.ok("device", "health", "line-1").out

    unknown = shoal.run("device", "show", "line-11")
    assert unknown.code == 1
    assert "did you mean 'line-1'?" in unknown.err
    shoal.ok("device", "remove", "line-2")
    assert shoal.run("device", "show", "line-2").code == 1
    assert shoal.ok("events").out
    assert shoal.ok("results").out.startswith("no results")
    assert "connected" in shoal.ok("info").out


def make_module(shoal: Shoal, tmp_path: Path, bias: float = 0.5) -> Path:
    """A module's folder from an ONNX file, as a person begins."""
    model = tmp_path / "wine.onnx"
    model.write_bytes(linear_model(bias=bias))
    folder = tmp_path / f"wine-{bias}"
    shoal.ok("module", "init", str(folder), "--name", "wine", "--model", str(model))
    return folder


def test_a_module_goes_from_an_onnx_file_to_the_registry(shoal: Shoal, tmp_path: Path) -> None:
    folder = make_module(shoal, tmp_path)
    assert (folder / "module.toml").exists()
    checked = shoal.ok("module", "check", str(folder))
    assert "passed" in checked.out
    manifest = tmp_path / "manifest.json"
    built = shoal.ok("module", "build", str(folder), "--manifest", str(manifest), "--json").json()
    assert isinstance(built, dict)
    assert digest_of(manifest.read_bytes()) == built["digest"]

    first = shoal.ok("module", "publish", str(folder), "--json").json(ModulePublished)
    assert (first.created, first.module.version, first.module.digest) == (
        True,
        1,
        built["digest"],
    )
    again = shoal.ok("module", "publish", str(folder))
    assert again.out.startswith("unchanged, already published as wine/1, ")
    shoal.ok("module", "publish", str(make_module(shoal, tmp_path, bias=0.75)))

    assert [line.split()[0] for line in shoal.ok("module", "list").out.splitlines()] == [
        "module",
        "wine/2",
        "wine/1",
    ]
    shown = shoal.ok("module", "show", "wine").out
    assert "wine/2" in shown
    assert "X: float32[?, 3]" in shown
    shoal.ok("module", "retire", "wine/2")
    assert "wine/2" not in shoal.ok("module", "list").out
    assert "wine/2 (retired)" in shoal.ok("module", "show", "wine/2").out


def test_a_module_may_name_a_registered_model(shoal: Shoal, tmp_path: Path) -> None:
    folder = make_module(shoal, tmp_path)
    shoal.ok("model", "register", "wine-model", str(folder / "model.onnx"))
    (folder / "model.onnx").unlink()
    source = folder / "module.toml"
    text = source.read_text().replace('file = "model.onnx"', 'registry = "wine-model/1"')
    source.write_text(text)

    shoal.ok("module", "publish", str(folder))
    assert "manifest" in shoal.ok("module", "show", "wine", "--json").out
    shoal.ok("device", "add", "line-1")
    shoal.ok("deploy", "wine", "--to", "line-1")
    refused = shoal.run("model", "delete", "wine-model/1")
    assert refused.code == 1
    assert "line-1" in refused.err


def test_what_is_wrong_with_a_folder_is_named(shoal: Shoal, tmp_path: Path) -> None:
    nothing = shoal.run("module", "build", str(tmp_path / "nothing"))
    assert nothing.code == 1
    assert "module.toml" in nothing.err
    not_onnx = tmp_path / "text.onnx"
    not_onnx.write_text("hello")
    refused = shoal.run("module", "init", str(tmp_path / "m"), "--model", str(not_onnx))
    assert refused.code == 1
    assert str(not_onnx) in refused.err
    folder = make_module(shoal, tmp_path)
    source = folder / "module.toml"
    source.write_text(source.read_text().replace("tolerance", "tolerence"))
    misspelt = shoal.run("module", "publish", str(folder))
    assert misspelt.code == 1
    assert "did you mean 'tolerance'?" in misspelt.err
    assert shoal.ok("module", "list").out == "no modules match\n"


def test_a_deployment_reaches_whom_it_names_and_protects_what_it_needs(
    shoal: Shoal, tmp_path: Path
) -> None:
    shoal.ok("module", "publish", str(make_module(shoal, tmp_path)))
    nobody = shoal.run("deploy", "wine", "--to", "all")
    assert nobody.code == 1
    for device in ("line-1", "line-2"):
        shoal.ok("device", "add", device)
    shoal.ok("device", "tag", "line-2", "site=hall-2")

    unknown = shoal.run("deploy", "wine", "--to", "lin-1")
    assert unknown.code == 1
    assert "did you mean 'line-1'?" in unknown.err
    assert shoal.run("deploy", "wien", "--to", "line-1").code == 1
    assert shoal.run("deploy", "wine/9", "--to", "line-1").code == 1

    by_tag = shoal.ok(
        *("deploy", "wine/1", "--to", "site=hall-2", "--slot", "second", "--json"),
        *("--input-topic", "other/+", "--uplink", "all"),
    ).json(DeploymentResult)
    assert (by_tag.slot, list(by_tag.revisions)) == ("second", ["line-2"])
    said = shoal.ok("deploy", "wine", "--to", "all", "--reason", "first try").out
    assert said == "wine/1 wanted in slot wine on line-1, line-2; it is rollout r2\n"
    again = shoal.ok("deploy", "wine", "--to", "all").out
    assert again == "wine/1 wanted in slot wine on no device; line-1, line-2 wanted that already\n"

    refused = shoal.run("module", "delete", "wine/1")
    assert refused.code == 1
    assert "line-1" in refused.err
    assert "line-2" in refused.err
    explained = shoal.ok("device", "explain", "line-1", "wine")
    assert "wine/1" in explained.out
    assert "what to do" in explained.out
    assert shoal.run("device", "explain", "line-1", "wien").code == 1

    late = shoal.run("deploy", "wine", "--to", "all", "--wait", "0.2")
    assert late.code == 1
    assert "error: 2 devices of 2 expected to run it, found:" in late.err
    assert "  line-1: never seen: is its agent running?" in late.err

    gone = shoal.ok("remove", "wine", "--to", "all").out
    assert gone == "slot wine is removed from line-1, line-2\n"
    again = shoal.run("remove", "secnd", "--to", "all")
    assert again.code == 1
    assert "error: none of 2 devices should run a slot 'secnd'" in again.err
    assert "did you mean 'second'?" in again.err
    shoal.ok("remove", "second", "--to", "line-2")
    assert shoal.ok("module", "delete", "wine/1").out.startswith("deleted ")
    log = shoal.ok("audit", "--json").json(list[AuditEntry])
    assert any(entry.reason == "first try" for entry in log)


def test_a_service_that_went_away_is_said_and_nothing_is_lost(
    shoal: Shoal, service: CloudService, tmp_path: Path
) -> None:
    folder = make_module(shoal, tmp_path)
    shoal.ok("module", "publish", str(folder))
    service.stop()
    for command in (("module", "list"), ("module", "publish", str(folder)), ("info",)):
        refused = shoal.run(*command)
        assert refused.code == 1
        assert f"is cloud-sync serve running at {service.url}?" in refused.err
    shoal.ok("module", "check", str(folder))  # needs no service
    service.start()
    assert "wine/1" in shoal.ok("module", "list").out
