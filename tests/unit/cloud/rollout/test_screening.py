"""Screening a fleet before a rollout: who has which module, who cannot take it, what is sent."""

from msgspec.structs import replace

from cloud_sync.registry.catalogue import files_of, usable_versions
from cloud_sync.resources import Deployment, ModuleVersion
from cloud_sync.rollout.screening import screen
from edge_agent.contract.state import AgentInfo, Hardware
from tests.support.cloud import Cloud, change
from tests.support.letters import health, letter, reported


def test_the_newest_usable_versions_of_many_modules_are_found_at_once(
    parts_of_cloud: Cloud,
) -> None:
    for name in ("model-for-a", "model-for-b"):
        for data in (b"1", b"2"):
            parts_of_cloud.publish(name, data=data, reads=f"{name}/+", writes=f"{name}-out/{{1}}")
    parts_of_cloud.parts.modules.retire("model-for-b", 2, change())
    names = ["model-for-a", "model-for-b", "model-for-c"]
    with parts_of_cloud.parts.database.read() as connection:
        newest = usable_versions(connection, names, None)
        second = usable_versions(connection, names, 2)
        files = files_of(connection, {newest["model-for-a"].digest})
    assert {n: v.version for n, v in newest.items()} == {"model-for-a": 2, "model-for-b": 1}
    assert {n: v.version for n, v in second.items()} == {"model-for-a": 2}
    manifest = newest["model-for-a"].digest
    assert files[manifest].keys() > {manifest}
    assert sum(files[manifest].values()) == newest["model-for-a"].size


def versions_of(made: Cloud, *devices: str) -> dict[str, ModuleVersion]:
    with made.parts.database.read() as connection:
        newest = usable_versions(connection, ["probe"], None)
    return dict.fromkeys(devices, newest["probe"])


def test_who_cannot_take_it_is_told_and_who_has_not_spoken_may_try(parts_of_cloud: Cloud) -> None:
    for device in ("new", "old", "full"):
        parts_of_cloud.parts.devices.register(device, change())
    first = parts_of_cloud.publish(data=b"first").module
    parts_of_cloud.parts.deployments.deploy(Deployment(module="probe", to="full"), change())
    second = parts_of_cloud.publish(data=b"second").module
    agent = AgentInfo(version="0", onnxruntime="1.22.0")
    said = replace(reported("old", hardware=Hardware(memory_mb=100)), agent=agent)
    parts_of_cloud.ingest.write([letter(said), letter(reported("full"))])
    silent_about_its_disk = health("old")
    parts_of_cloud.ingest.write([letter(health("full", disk_low=True))])
    parts_of_cloud.ingest.write([letter(silent_about_its_disk)])
    with parts_of_cloud.parts.database.read() as connection:
        found = screen(connection, versions_of(parts_of_cloud, "new", "old", "full"))
        files = files_of(connection, {first.digest, second.digest})
    assert [(one.device, one.code) for one in found.unfit] == [("full", "disk_short")]
    lacking = files[second.digest].keys() - files[first.digest].keys()
    assert found.bytes_to_send == {
        "new": second.size,
        "old": second.size,
        "full": sum(files[second.digest][file] for file in lacking),
    }
