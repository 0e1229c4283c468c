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

RESTARTS: Final = 50
TIMEOUT_S: Final = 240.0
DEVICES: Final = tuple(f"line-{number}" for number in range(12))
BAD: Final = "line-0"
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
    soak_messages=0,
    max_offline=1.0,
    gates=None,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@contextmanager
def fleet(broker: EmbeddedBroker) -> Iterator[RolloutDevices]:
    """Devices, of which one refuses every version."""
    devices = [RolloutDevice(name, "") for name in DEVICES]
    with RolloutDevices(devices, broker.url) as running:
        yield running


def ask(service: CloudService, path: str, **query: Any) -> Any:
    """What the API says; None while it is dead."""
    try:
        answer = httpx.get(f"{service.url}/v1/{path}", params=query, timeout=10)
    except httpx.TransportError:
        return None
    assert answer.is_success, answer.text
    return answer.json()


def publish(service: CloudService, data: bytes) -> None:
    digest = digest_of(data)
    assert httpx.put(f"{service.url}/v1/blobs/{digest}", content=data).is_success
    manifest = manifest_of(Blob(path="model.onnx", digest=digest, size=len(data)))
    answer = httpx.post(f"{service.url}/v1/modules", content=canonical(manifest))
    assert answer.is_success, answer.text


def prepare(service: CloudService, devices: RolloutDevices) -> str:
    """All devices run the first version, and there is a rollout of the second; its id."""
    await_value(lambda: len(ask(service, "devices") or ()) == len(DEVICES), 30)
    for number, name in enumerate(DEVICES):
        tags = {"set": {"site": SITES[number % len(SITES)]}}
        answer = httpx.patch(f"{service.url}/v1/devices/{name}/tags", json=tags)
        assert answer.is_success, answer.text
    publish(service, b"the first")
    wish = {"module": "probe", "to": "all"}
    assert httpx.post(f"{service.url}/v1/deployments", json=wish).is_success
    await_value(lambda: state_of(service, "r1") in OVER, 60)
    devices.devices[BAD].nature = Nature.REJECTS
    publish(service, b"the second")
    asked = RolloutWish(module="probe", to="all", policy=POLICY, seed=7)
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
        "assignments": assignments,
        "running": devices.running("probe"),
        "shadows": devices.running("probe-shadow"),
    }


def judge(service: CloudService, rollout: str) -> None:
    """Everything that was recorded of the rollout keeps to what rollouts promise."""
    events = msgspec.convert(
        ask(service, f"rollouts/{rollout}/events", limit=1_000), list[RolloutEvent]
    )
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
        wish=RolloutWish(module="probe", to="all", policy=POLICY),
        slot="probe",
        module="probe",
        version=2,
        seed=7,
        created=0.0,
        created_by="",
        assignments=members,
    )
    assert violations([History(rollout=told, events=events)], until=time.time()) == ()
    assert len(events) > len(DEVICES) * 4


def undisturbed(folder: Path) -> dict[str, Any]:
    """How it ends without a restart."""
    broker = EmbeddedBroker(folder / "nats")
    broker.start()
    service = CloudService(folder / "cloud", broker=broker.url).start()
    try:
        with fleet(broker) as devices:
            rollout = prepare(service, devices)
            order(service, rollout, "start")
            await_value(lambda: state_of(service, rollout) in OVER, TIMEOUT_S)
            return await_settled(service, devices, rollout)
    finally:
        service.stop()
        broker.stop()


def await_settled(service: CloudService, devices: RolloutDevices, rollout: str) -> dict[str, Any]:
    """The outcome, once the device that failed has heard that it is to run what it ran."""

    def look() -> dict[str, Any] | None:
        found = outcome(service, devices, rollout)
        return None if found["shadows"] else found

    return await_value(look, 60)


def test_a_service_that_is_killed_at_every_transition_ends_where_an_undisturbed_one_does(
    tmp_path: Path, nats_broker: EmbeddedBroker
) -> None:
    expected = undisturbed(tmp_path / "undisturbed")
    assert expected["state"] == "completed_degraded"

    folder = tmp_path / "mortal"
    service = CloudService(
        folder, broker=nats_broker.url, url=f"http://127.0.0.1:{free_port()}"
    ).start()
    deaths = tmp_path / "deaths"
    with fleet(nats_broker) as devices:
        rollout = prepare(service, devices)
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
            assert await_settled(service, devices, rollout) == expected
            judge(service, rollout)
            assert int(deaths.read_text()) >= RESTARTS
        finally:
            service.stop()
            database.close()
