"""Models and modules: versions, search, publishing, retiring, delete protection, collection."""

import threading

import pytest

from cloud_sync.broker.session import Received
from cloud_sync.errors import Conflict, ContractError, InUse, InvalidInput, NotFound
from cloud_sync.resources import Deployment, ModelUpload, Removal, TagChange
from edge_agent.contract.manifest import Blob, canonical
from edge_agent.contract.messages import Status
from edge_agent.contract.names import digest_of
from edge_agent.contract.state import AgentInfo, Phase, ReportedSlot, ReportedState
from edge_agent.contract.topics import Channel, control
from edge_agent.contract.wire import encode
from tests.support.cloud import NOW, Cloud, change, manifest_of


def test_versions_count_up_and_are_never_given_again(parts_of_cloud: Cloud) -> None:
    models = parts_of_cloud.parts.models
    assert [parts_of_cloud.register(data=bytes([n])) for n in range(3)] == [1, 2, 3]
    models.delete("shuttle", 3, change())
    assert parts_of_cloud.register(data=b"new") == 4
    assert [found.version for found in models.versions("shuttle")] == [4, 2, 1]


def test_versions_are_distinct_when_many_register_at_once(parts_of_cloud: Cloud) -> None:
    blob = parts_of_cloud.store(b"x")
    versions: list[int] = []

    def register() -> None:
        upload = ModelUpload(files=(blob,))
        for _ in range(5):
            found = parts_of_cloud.parts.models.register("m", upload, change())
            versions.append(found.version)

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(versions) == list(range(1, 21))


def test_models_are_found_by_name_tag_and_property(parts_of_cloud: Cloud) -> None:
    models = parts_of_cloud.parts.models
    parts_of_cloud.register("shuttle", tags={"team": "ops"}, properties={"f1": "0.99"})
    parts_of_cloud.register("shuttle_2".replace("_", "-"), tags={"team": "lab"})
    parts_of_cloud.register("digits")

    def names(**query: object) -> list[str]:
        return [m.name for m in models.search(**query)]  # type: ignore[arg-type]

    assert names(name="shuttle*") == ["shuttle", "shuttle-2"]
    assert names(name="d_gits") == []  # an underscore is itself, not any character
    assert names(name="d?gits") == ["digits"]
    assert names(tags={"team": "ops"}) == ["shuttle"]
    assert names(tags={"team": "*"}) == ["shuttle", "shuttle-2"]
    assert names(properties={"f1": "0.99"}, tags={"team": "lab"}) == []
    assert names(limit=1, offset=1) == ["shuttle"]
    models.retire("digits", 1, change())
    assert names(is_retired=True) == ["digits"]


def test_tags_change_and_properties_do_not(parts_of_cloud: Cloud) -> None:
    parts_of_cloud.register(tags={"a": "1", "b": "2"}, properties={"p": "1"})
    found = parts_of_cloud.parts.models.tag(
        "shuttle", 1, TagChange(set={"c": "3"}, remove=("a",)), change()
    )
    assert (found.tags, found.properties) == ({"b": "2", "c": "3"}, {"p": "1"})


def test_a_model_whose_file_was_not_uploaded_is_refused(parts_of_cloud: Cloud) -> None:
    absent = Blob(path="w.bin", digest=digest_of(b"absent"), size=6)
    with pytest.raises(InvalidInput, match=r"missing: w\.bin \(sha256:") as caught:
        parts_of_cloud.parts.models.register("m", ModelUpload(files=(absent,)), change())
    assert caught.value.code == "blobs_missing"


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ([("../x", 1)], "without '..'"),
        ([("/x", 1)], "relative"),
        ([("x", 1), ("x", 1)], "given twice"),
        ([("x", 7)], "expected 7 bytes as claimed"),
    ],
)
def test_impossible_files_are_refused(
    parts_of_cloud: Cloud, files: list[tuple[str, int]], part: str
) -> None:
    blob = parts_of_cloud.store(b"x")
    upload = ModelUpload(
        files=tuple(Blob(path=path, digest=blob.digest, size=size) for path, size in files)
    )
    with pytest.raises(InvalidInput, match=part):
        parts_of_cloud.parts.models.register("m", upload, change())


def test_unknown_names_and_versions_are_named_with_the_closest(parts_of_cloud: Cloud) -> None:
    parts_of_cloud.register()
    parts_of_cloud.publish()
    with pytest.raises(NotFound, match="did you mean 'shuttle'"):
        parts_of_cloud.parts.models.versions("shutle")
    with pytest.raises(NotFound, match="it has 1"):
        parts_of_cloud.parts.modules.get("probe", 2)


def test_publishing_the_same_digest_twice_is_one_version(parts_of_cloud: Cloud) -> None:
    first, again = parts_of_cloud.publish(), parts_of_cloud.publish()
    assert (first.created, again.created) == (True, False)
    assert first.module == again.module
    manifest = parts_of_cloud.parts.modules.manifest("probe", 1)
    assert digest_of(manifest) == first.module.digest
    # The manifest is a blob like any other.
    assert parts_of_cloud.parts.blobs.size(first.module.digest) == len(manifest)


def test_a_module_is_refused_without_its_blobs_and_out_of_form(parts_of_cloud: Cloud) -> None:
    absent = Blob(path="model.onnx", digest=digest_of(b"absent"), size=6)
    modules = parts_of_cloud.parts.modules
    with pytest.raises(InvalidInput) as caught:
        modules.publish(canonical(manifest_of(absent)), change())
    assert caught.value.code == "blobs_missing"
    good = canonical(manifest_of(parts_of_cloud.store(b"m")))
    with pytest.raises(InvalidInput, match="canonical"):
        modules.publish(good.replace(b":", b": ", 1), change())
    with pytest.raises(ContractError):
        modules.publish(b"{", change())


def test_a_module_from_a_model_that_is_not_registered_is_refused(parts_of_cloud: Cloud) -> None:
    with pytest.raises(InvalidInput, match="registered model, found 'shuttle/9'"):
        parts_of_cloud.publish(source="shuttle/9")


def test_modules_that_would_feed_each_other_for_ever_are_refused(parts_of_cloud: Cloud) -> None:
    parts_of_cloud.publish("first", reads="raw/+", writes="clean/{1}")
    parts_of_cloud.publish("second", data=b"2", reads="clean/+", writes="score/{1}")
    with pytest.raises(Conflict, match="third -> first -> second -> third") as caught:
        parts_of_cloud.publish("third", data=b"3", reads="score/+", writes="raw/{1}")
    assert caught.value.code == "topic_cycle"
    parts_of_cloud.parts.modules.retire("second", 1, change())
    assert parts_of_cloud.publish("third", data=b"3", reads="score/+", writes="raw/{1}").created


def deploy(made: Cloud, **wish: object) -> None:
    made.parts.deployments.deploy(Deployment(**wish), change())  # type: ignore[arg-type]


def test_a_wanted_version_and_its_model_cannot_be_deleted(parts_of_cloud: Cloud) -> None:
    parts = parts_of_cloud.parts
    parts_of_cloud.register()
    parts_of_cloud.publish(source="shuttle/1")
    for device in ("line-1", "line-2"):
        parts.devices.register(device, change())
    deploy(parts_of_cloud, module="probe", to="all")
    with pytest.raises(InUse, match="line-1, line-2"):
        parts.modules.delete("probe", 1, change())
    with pytest.raises(InUse, match=r"model shuttle/1 cannot be deleted: .*line-1, line-2"):
        parts.models.delete("shuttle", 1, change())
    parts.deployments.remove(Removal(slot="probe", to="all"), change())
    assert parts.modules.delete("probe", 1, change()) == "module probe/1"
    assert parts.models.delete("shuttle", 1, change()) == "model shuttle/1"


def test_a_running_version_cannot_be_deleted_even_if_unwanted(parts_of_cloud: Cloud) -> None:
    digest = parts_of_cloud.publish().module.digest
    status = Status(device="line-1", state="online", boot_id="b", started=NOW, time=NOW)
    reported = ReportedState(
        device="line-1",
        boot_id="b",
        seq=1,
        time=NOW,
        revision_seen=0,
        revision_applied=0,
        slots={"probe": ReportedSlot(module="probe", phase=Phase.ACTIVE, running=digest)},
        agent=AgentInfo(version="0"),
    )
    parts_of_cloud.ingest.write(
        [
            Received(control("line-1", channel), encode(message), False, 1, 1, 1)
            for channel, message in ((Channel.STATUS, status), (Channel.REPORTED, reported))
        ]
    )
    with pytest.raises(InUse, match="line-1"):
        parts_of_cloud.parts.modules.delete("probe", 1, change())


def test_retired_modules_are_not_deployed(parts_of_cloud: Cloud) -> None:
    parts = parts_of_cloud.parts
    parts.devices.register("line-1", change())
    parts_of_cloud.publish(data=b"1")
    parts_of_cloud.publish(data=b"2")
    parts.modules.retire("probe", 2, change())
    deploy(parts_of_cloud, module="probe", to="line-1")
    assert parts.devices.get("line-1", NOW).desired.slots["probe"].version == 1
    with pytest.raises(Conflict, match="probe/2 is retired"):
        deploy(parts_of_cloud, module="probe", version=2, to="line-1")


def test_a_retired_module_that_is_published_again_is_in_use_again(parts_of_cloud: Cloud) -> None:
    parts = parts_of_cloud.parts
    parts.devices.register("line-1", change())
    first = parts_of_cloud.publish(data=b"1").module
    parts.modules.retire("probe", 1, change())
    again = parts_of_cloud.publish(data=b"1").module
    assert (again.version, again.digest, again.retired) == (1, first.digest, False)
    deploy(parts_of_cloud, module="probe", to="line-1")
    assert parts.devices.get("line-1", NOW).desired.slots["probe"].version == 1


def test_only_blobs_that_nothing_names_are_collected(parts_of_cloud: Cloud) -> None:
    blobs = parts_of_cloud.parts.blobs
    parts_of_cloud.register(data=b"registered")
    parts_of_cloud.publish(data=b"published")
    loose = parts_of_cloud.store(b"loose")
    young = parts_of_cloud.store(b"young", now=NOW + 100)
    assert blobs.collect(created_before=NOW + 50) == 1
    assert blobs.missing((loose.digest, young.digest)) == (loose.digest,)
    assert blobs.objects.size(loose.digest) is None
    parts_of_cloud.parts.modules.delete("probe", 1, change())
    # The model file, its manifest, and what was young.
    assert blobs.collect(created_before=NOW + 1000) == 3
    assert blobs.missing((digest_of(b"registered"),)) == ()
