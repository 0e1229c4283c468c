"""A real service that is killed at every persisted transition of a rollout, on a real database.

What it had committed goes on where it was; what it had not is done again. In the end nobody can
tell that it was killed at all.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import select

from cloud_sync.broker.embedded import EmbeddedBroker, free_port
from cloud_sync.db.engine import Database, sqlite_url
from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.rollout.invariants import History, violations
from cloud_sync.rollout.rollout import Assignment, Rollout
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutEvent, RolloutWish
from edge_agent.contract.manifest import Blob, canonical
from edge_agent.contract.names import digest_of
from tests.rollouts.device import Nature, RolloutDevice
from tests.support.cloud import manifest_of
from tests.support.device import await_value
from tests.support.rollout_devices import RolloutDevices
from tests.support.service import CloudService
from tests.support.slot_counters import SlotCounters

RESTARTS: Final = 50
FEW_RESTARTS: Final = 5
TIMEOUT_S: Final = 360.0
DEVICES: Final = tuple(f"line-{number}" for number in range(12))
BAD: Final = "line-0"
FIRST: Final = b"the first"
SECOND: Final = b"the second"
SITES: Final = ("oslo", "bergen")
OVER: Final = frozenset({"completed", "completed_degraded", "rolled_back"})
POLICY: Final = Policy(
    stages=("1", "50%", "100%"),
    shadow_stages=1,
    max_in_flight="1",
    max_in_flight_per_site="50%",
    min_success=0.3,
    max_failure=1.0,
    min_sample=5,
    soak_s=0,
)
"""With the gates of every rollout: no stage passes before its version was measured."""
BESIDE: Final = frozenset({"error_rate", "disagreement", "memory", "psi"})
ALONE: Final = frozenset({"error_rate", "slow", "memory"})
GATES: Final = BESIDE | ALONE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@contextmanager
def fleet(broker: EmbeddedBroker, differing: int) -> Iterator[RolloutDevices]:
    """Devices, of which one refuses every version.

    Args:
        broker: that they are connected to.
        differing: of a hundred answers of the second version, those unlike the first one's.
    """
    devices = [RolloutDevice(name, "") for name in DEVICES]
    counters = SlotCounters()
    counters.differing[digest_of(manifest(SECOND))] = differing
    with RolloutDevices(devices, broker.url, counters) as running:
        yield running


def ask(service: CloudService, path: str, **query: Any) -> Any:
    """What the API says; None while it is dead."""
    try:
        answer = httpx.get(f"{service.url}/v1/{path}", params=query, timeout=10)
    except httpx.TransportError:
        return None
    assert answer.is_success, answer.text
    return answer.json()


def manifest(data: bytes) -> bytes:
    return canonical(manifest_of(Blob(path="model.onnx", digest=digest_of(data), size=len(data))))


def publish(service: CloudService, data: bytes) -> None:
    assert httpx.put(f"{service.url}/v1/blobs/{digest_of(data)}", content=data).is_success
    answer = httpx.post(f"{service.url}/v1/modules", content=manifest(data))
    assert answer.is_success, answer.text


def prepare(service: CloudService, devices: RolloutDevices, policy: Policy) -> str:
    """All devices run the first version, and there is a rollout of the second; its id."""
    await_value(lambda: len(ask(service, "devices") or ()) == len(DEVICES), 30)
    for number, name in enumerate(DEVICES):
        tags = {"set": {"site": SITES[number % len(SITES)]}}
        answer = httpx.patch(f"{service.url}/v1/devices/{name}/tags", json=tags)
        assert answer.is_success, answer.text
    publish(service, FIRST)
    wish = {"module": "probe", "to": "all"}
    assert httpx.post(f"{service.url}/v1/deployments", json=wish).is_success
    await_value(lambda: state_of(service, "r1") in OVER, 60)
    devices.devices[BAD].nature = Nature.REJECTS
    publish(service, SECOND)
    asked = RolloutWish(module="probe", to="all", policy=policy, seed=7)
    answer = httpx.post(f"{service.url}/v1/rollouts", json=msgspec.to_builtins(asked))
    assert answer.is_success, answer.text
    return str(answer.json()["summary"]["id"])


def state_of(service: CloudService, rollout: str) -> str:
    found = ask(service, f"rollouts/{rollout}")
    return "" if found is None else str(found["summary"]["state"])


def stored_state(database: Database, rollout: str) -> str:
    """What the database says, while nobody lives long enough to be asked."""
    number = int(rollout[1:])
    with database.read() as connection:
        return str(connection.scalar(select(rollouts.c.state).where(rollouts.c.id == number)))


def order(service: CloudService, rollout: str, action: str) -> None:
    """Give an order; the service may die of it, before or after it has obeyed."""
    try:
        path = f"{service.url}/v1/rollouts/{rollout}/orders"
        httpx.post(path, json={"action": action}, timeout=10)
    except httpx.TransportError:
        return


def history(service: CloudService, rollout: str) -> list[RolloutEvent]:
    found = ask(service, f"rollouts/{rollout}/events", limit=1_000)
    return msgspec.convert(found, list[RolloutEvent])


def verdicts(events: list[RolloutEvent]) -> list[tuple[int | None, str, frozenset[str]]]:
    """Of each step of each stage: what it came to, and the gates that say so."""
    found = []
    for event in events:
        verdict = event.evidence.get("verdict", "")
        if verdict in ("passed", "failed"):
            gates = {name for name, text in event.evidence.items() if text.startswith(verdict)}
            found.append((event.stage, event.after, frozenset(gates & GATES)))
    return found


def outcome(service: CloudService, devices: RolloutDevices, rollout: str) -> dict[str, Any]:
    """Everything that can be seen of a rollout in the end, but times and numbers of revisions."""
    detail = ask(service, f"rollouts/{rollout}")
    stages = [
        {key: stage[key] for key in ("number", "state", "step", "size", "counts")}
        for stage in detail["summary"]["stages"]
    ]
    assignments = [
        {key: one[key] for key in ("device", "stage", "state", "version", "previous_version")}
        for one in ask(service, f"rollouts/{rollout}/assignments", limit=100)
    ]
    return {
        "state": detail["summary"]["state"],
        "stages": stages,
        "verdicts": verdicts(history(service, rollout)),
        "assignments": assignments,
        "running": devices.running("probe"),
        "shadows": devices.running("probe-shadow"),
    }


def judge(service: CloudService, rollout: str, policy: Policy) -> None:
    """Everything that was recorded of the rollout keeps to what rollouts promise."""
    events = history(service, rollout)
    members = {
        one["device"]: Assignment(
            device=one["device"],
            stage=one["stage"],
            module=one["module"],
            version=one["version"],
            digest=one["digest"],
            site=SITES[DEVICES.index(one["device"]) % len(SITES)],
        )
        for one in ask(service, f"rollouts/{rollout}/assignments", limit=100)
    }
    told = Rollout(
        id=int(rollout[1:]),
        wish=RolloutWish(module="probe", to="all", policy=policy),
        slot="probe",
        module="probe",
        version=2,
        seed=7,
        created=0.0,
        created_by="",
        assignments=members,
    )
    assert violations([History(rollout=told, events=events)], until=time.time()) == ()


def undisturbed(folder: Path, policy: Policy, differing: int) -> dict[str, Any]:
    """How it ends without a restart."""
    broker = EmbeddedBroker(folder / "nats")
    broker.start()
    service = CloudService(folder / "cloud", broker=broker.url).start()
    try:
        with fleet(broker, differing) as devices:
            rollout = prepare(service, devices, policy)
            order(service, rollout, "start")
            await_value(lambda: state_of(service, rollout) in OVER, TIMEOUT_S)
            return await_settled(service, devices, rollout)
    finally:
        service.stop()
        broker.stop()


def killed(
    folder: Path, broker: EmbeddedBroker, policy: Policy, differing: int
) -> tuple[dict[str, Any], int]:
    """How it ends when the service dies at each transition, and how often it died."""
    service = CloudService(folder, broker=broker.url, url=f"http://127.0.0.1:{free_port()}").start()
    deaths = folder / "deaths"
    with fleet(broker, differing) as devices:
        rollout = prepare(service, devices, policy)
        service.stop()
        database = Database(sqlite_url(service.data_dir))
        service.program = ("tests.support.mortal_service", str(deaths))
        service.start()
        try:

            def starts() -> bool:
                order(service, rollout, "start")
                return stored_state(database, rollout) != "draft"

            await_value(starts, TIMEOUT_S)
            await_value(lambda: stored_state(database, rollout) in OVER, TIMEOUT_S)
            await_value(lambda: state_of(service, rollout), TIMEOUT_S)
            found = await_settled(service, devices, rollout)
            judge(service, rollout, policy)
            return found, int(deaths.read_text())
        finally:
            service.stop()
            database.close()


def await_settled(service: CloudService, devices: RolloutDevices, rollout: str) -> dict[str, Any]:
    """The outcome, once the device that failed has heard that it is to run what it ran."""

    def look() -> dict[str, Any] | None:
        found = outcome(service, devices, rollout)
        return None if found["shadows"] else found

    return await_value(look, 60)


def test_a_service_that_is_killed_at_every_transition_ends_where_an_undisturbed_one_does(
    tmp_path: Path, nats_broker: EmbeddedBroker
) -> None:
    expected = undisturbed(tmp_path / "undisturbed", POLICY, differing=0)
    assert expected["state"] == "completed_degraded"
    assert expected["verdicts"] == [
        (0, "filling", BESIDE),
        # What both said of the same inputs is known of these devices.
        (0, "passed", ALONE | {"psi"}),
        (1, "passed", ALONE),
        (2, "passed", ALONE),
    ]
    found, deaths = killed(tmp_path / "mortal", nats_broker, POLICY, differing=0)
    assert found == expected
    assert deaths >= RESTARTS


def test_a_version_that_answers_otherwise_is_caught_by_a_service_that_dies_at_every_transition(
    tmp_path: Path, nats_broker: EmbeddedBroker
) -> None:
    policy = replace(POLICY, on_error="rollback")
    expected = undisturbed(tmp_path / "undisturbed", policy, differing=20)
    assert expected["state"] == "rolled_back"
    assert expected["verdicts"] == [(0, "failed", {"disagreement"})]
    assert set(expected["running"].values()) == {digest_of(manifest(FIRST))}
    found, deaths = killed(tmp_path / "mortal", nats_broker, policy, differing=20)
    assert found == expected
    assert deaths >= FEW_RESTARTS
