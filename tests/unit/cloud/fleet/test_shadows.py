"""Shadows as the cloud deploys them: only of what is there, and never in the way."""

import pytest
from msgspec.structs import replace

from cloud_sync.errors import Conflict, ContractError
from cloud_sync.fleet.explain import explain
from cloud_sync.fleet.summary import DeviceFacts, is_slot_settled, summarize
from cloud_sync.resources import Deployment, Removal, ReplacedVersion, TagChange
from edge_agent.contract.manifest import canonical
from edge_agent.contract.messages import Health, ShadowHealth, SlotHealth
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.state import (
    AgentInfo,
    DesiredState,
    Phase,
    ReportedSlot,
    ReportedState,
    SlotConfig,
    WantedSlot,
)
from tests.support.cloud import NOW, Cloud, change, manifest_of

DIGEST, OTHER = f"sha256:{1:064x}", f"sha256:{2:064x}"
LIVE = WantedSlot(module="m", version=1, digest=DIGEST)
SHADOW = WantedSlot(module="m", version=2, digest=OTHER, mode="shadow", shadows="m")


@pytest.fixture
def fleet(parts_of_cloud: Cloud) -> Cloud:
    for name in ("line-1", "line-2"):
        parts_of_cloud.parts.devices.register(name, change())
    parts_of_cloud.parts.devices.tag("line-2", TagChange(set={"site": "north"}), change())
    parts_of_cloud.publish()
    return parts_of_cloud


def deploy(made: Cloud, to: str = "all", **wish: object) -> str:
    given: dict[str, object] = {"module": "probe", "to": to}
    wanted = Deployment(**(given | wish))  # type: ignore[arg-type]  # mixed types
    return made.parts.deployments.deploy(wanted, change()).slot


def wanted(made: Cloud, device: str) -> dict[str, WantedSlot]:
    return dict(made.parts.devices.get(device, NOW).desired.slots)


def test_a_shadow_gets_a_slot_beside_the_one_that_it_shadows(fleet: Cloud) -> None:
    deploy(fleet)
    assert deploy(fleet, shadows="probe") == "probe-shadow"
    found = wanted(fleet, "line-1")["probe-shadow"]
    assert (found.mode, found.shadows) == ("shadow", "probe")
    assert wanted(fleet, "line-1")["probe"].mode == "run"


def test_a_shadow_may_have_a_name_of_its_own_and_the_same_topics(fleet: Cloud) -> None:
    deploy(fleet, slot="first")
    assert deploy(fleet, slot="try", shadows="first") == "try"


def test_a_shadow_of_a_slot_that_one_of_the_devices_lacks_changes_none(fleet: Cloud) -> None:
    deploy(fleet, to="line-1")
    with pytest.raises(Conflict) as caught:
        deploy(fleet, shadows="probe")
    assert caught.value.code == "shadow_misfit"
    assert caught.value.text.startswith("line-2: ")
    assert caught.value.hint
    assert "probe-shadow" not in wanted(fleet, "line-1")


@pytest.mark.parametrize(
    "wish",
    [
        {"shadows": "probe-shadow", "slot": "x"},
        {"shadows": "x", "slot": "x"},
        {"shadows": "probe", "slot": "second"},
        {"shadows": "probe", "config": SlotConfig(uplink="all")},
        {"shadows": "probe-shadow", "slot": "probe"},
    ],
)
def test_what_cannot_be_a_shadow_is_refused(fleet: Cloud, wish: dict[str, object]) -> None:
    deploy(fleet)
    deploy(fleet, shadows="probe")
    with pytest.raises(Conflict) as caught:
        deploy(fleet, **wish)
    assert caught.value.code == "shadow_misfit"
    assert caught.value.hint


def publish_with_output(made: Cloud, output: str) -> None:
    manifest = manifest_of(made.store(b"model"), "other")
    model = replace(manifest.model, outputs=(TensorSpec(output, "float32", (-1, 1)),))
    made.parts.modules.publish(canonical(replace(manifest, model=model)), change())


def test_a_shadow_without_an_output_in_common_is_refused(fleet: Cloud) -> None:
    deploy(fleet)
    publish_with_output(fleet, "risk")
    with pytest.raises(Conflict) as caught:
        deploy(fleet, module="other", shadows="probe")
    assert caught.value.code == "shadow_misfit"
    assert caught.value.text == (
        "line-1: slot 'probe-shadow' expected an output that 'probe' has, too ('y'), found 'risk'"
    )
    assert "outputs are compared by name" in caught.value.hint
    assert list(wanted(fleet, "line-1")) == ["probe"]


def test_a_version_that_its_shadow_could_not_be_compared_with_is_refused(fleet: Cloud) -> None:
    deploy(fleet)
    deploy(fleet, shadows="probe")
    publish_with_output(fleet, "risk")
    with pytest.raises(Conflict) as caught:
        deploy(fleet, module="other", slot="probe")
    assert caught.value.code == "shadow_misfit"


def test_a_result_says_which_version_a_deployment_replaces(fleet: Cloud) -> None:
    deploy(fleet)
    deploy(fleet, to="line-1", shadows="probe")
    fleet.publish(data=b"better", writes="better/{1}")
    wish = Deployment(module="probe", to="all", shadows="probe")
    result = fleet.parts.deployments.deploy(wish, change())
    assert result.replaced == {
        "line-1": ReplacedVersion(module="probe", version=1, shadows="probe")
    }
    assert fleet.parts.deployments.deploy(wish, change()).replaced == {}


def test_a_slot_name_with_no_room_for_its_shadow_needs_another(fleet: Cloud) -> None:
    long = "a" * 60
    deploy(fleet, slot=long)
    with pytest.raises(ContractError):
        deploy(fleet, shadows=long)
    assert deploy(fleet, shadows=long, slot="short") == "short"


def test_a_slot_that_has_a_shadow_is_removed_after_it(fleet: Cloud) -> None:
    deploy(fleet)
    deploy(fleet, shadows="probe")
    removal = Removal(slot="probe", to="line-1")
    with pytest.raises(Conflict) as caught:
        fleet.parts.deployments.remove(removal, change())
    assert caught.value.text == "line-1: slot 'probe' has the shadow 'probe-shadow'"
    assert caught.value.hint == "remove 'probe-shadow' first"
    fleet.parts.deployments.remove(Removal(slot="probe-shadow", to="line-1"), change())
    fleet.parts.deployments.remove(removal, change())
    assert wanted(fleet, "line-1") == {}


def test_a_slot_with_a_shadow_gets_new_versions_as_ever(fleet: Cloud) -> None:
    deploy(fleet)
    deploy(fleet, shadows="probe")
    deploy(fleet, config=SlotConfig(uplink="all"))
    assert wanted(fleet, "line-1")["probe"].config.uplink == "all"


def test_a_shadow_that_is_to_answer_is_deployed_as_any_module(fleet: Cloud) -> None:
    deploy(fleet)
    deploy(fleet, shadows="probe")
    config = SlotConfig(input_topic="other/+/rows", output_topic="other/{1}/out")
    deploy(fleet, slot="probe-shadow", config=config)
    assert wanted(fleet, "line-1")["probe-shadow"].mode == "run"


def facts(**options: object) -> DeviceFacts:
    reported = ReportedState(
        device="line-1",
        boot_id="b",
        seq=1,
        time=NOW,
        revision_seen=1,
        revision_applied=1,
        agent=AgentInfo(version="1"),
        slots={
            "m": ReportedSlot(module="m", phase=Phase.ACTIVE, running=DIGEST),
            "m-shadow": ReportedSlot(
                module="m", phase=Phase.ACTIVE, running=OTHER, shadows="m", wanted=OTHER
            ),
        },
    )
    given: dict[str, object] = {
        "device": "line-1",
        "state": "online",
        "last_seen": NOW,
        "interval_s": 30.0,
        "tags": {},
        "desired": DesiredState(device="line-1", revision=1, slots={"m": LIVE, "m-shadow": SHADOW}),
        "reported": reported,
        "reported_at": NOW,
    }
    return DeviceFacts(**(given | options))  # type: ignore[arg-type]  # mixed types


def test_a_version_that_runs_but_does_not_shadow_is_not_settled() -> None:
    running = ReportedSlot(module="m", phase=Phase.ACTIVE, running=OTHER, shadows="m")
    assert is_slot_settled(SHADOW, running)
    assert not is_slot_settled(SHADOW, replace(running, shadows=""))
    assert not is_slot_settled(replace(SHADOW, mode="run", shadows=""), running)


def test_a_summary_shows_what_a_shadow_saw() -> None:
    shadow = ShadowHealth(of="m", version=1, seen=5, agreed=4, shed={"full": 2}, psi=0.01)
    health = Health(
        device="line-1",
        boot_id="b",
        time=NOW,
        uptime_s=1,
        interval_s=30,
        slots={
            "m-shadow": SlotHealth(
                module="m", version=2, digest=OTHER, state="running", shadow=shadow, rss_mb=40.0,
                pss_mb=15.0, restarts=2, dropped={"deadline": 3}, notes=("a note",),
            )
        },
    )  # fmt: skip
    found = summarize(facts(health=health), NOW).slots["m-shadow"]
    assert (found.shadows, found.shadow) == ("m", shadow)
    assert (found.rss_mb, found.memory_mb, found.restarts, found.dropped) == (40.0, 15.0, 2, 3)
    assert found.notes == ("a note",)


def test_a_summary_says_since_when_a_shadow_without_figures_runs() -> None:
    found = summarize(facts(), NOW).slots["m-shadow"]
    assert (found.shadow, found.since) == (None, None)
    reported = facts().reported
    assert reported is not None
    slot = replace(reported.slots["m-shadow"], since=NOW - 3)
    reported = replace(reported, slots={**reported.slots, "m-shadow": slot})
    assert summarize(facts(reported=reported), NOW).slots["m-shadow"].since == NOW - 3


def test_an_explanation_says_that_a_shadow_only_compares() -> None:
    found = explain(facts(), "m-shadow", NOW)
    assert "it shadows m, and its answers are only compared" in found.advice


def test_after_a_promotion_the_explanation_says_that_both_are_the_same() -> None:
    promoted = replace(LIVE, version=2, digest=OTHER)
    desired = DesiredState(device="line-1", revision=1, slots={"m": promoted, "m-shadow": SHADOW})
    found = explain(facts(desired=desired), "m-shadow", NOW)
    assert "same version" in found.advice
    assert "remove the shadow" in found.advice
