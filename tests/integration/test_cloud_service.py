"""The real service process, real brokers, and devices that speak the contract by script."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cloud_sync.broker.embedded import EmbeddedBroker, free_port
from cloud_sync.db.engine import FILE_NAME, Database
from edge_agent.contract.manifest import Blob, canonical
from edge_agent.contract.names import digest_of
from edge_agent.contract.topics import Channel, control
from tests.support.agents import AgentProcess
from tests.support.brokers import Broker
from tests.support.cloud import manifest_of
from tests.support.device import ScriptedDevice, await_value
from tests.support.letters import event_row, health, result_row, telemetry
from tests.support.service import CloudService

MODEL = b"a model of some kind"


@pytest.fixture
def on_any_broker(any_broker: Broker, tmp_path: Path) -> Iterator[CloudService]:
    """A service on a broker that is not its own: nats, then mosquitto."""
    running = CloudService(tmp_path / "cloud", broker=any_broker.url).start()
    await_connected(running)
    yield running
    running.stop()


def await_connected(running: CloudService) -> None:
    await_value(lambda: httpx.get(f"{running.url}/v1/info").json()["broker_connected"])


def publish(running: CloudService, data: bytes = MODEL) -> str:
    """Publish a module around some bytes; its digest."""
    digest = digest_of(data)
    assert httpx.put(f"{running.url}/v1/blobs/{digest}", content=data).is_success
    manifest = manifest_of(Blob(path="model.onnx", digest=digest, size=len(data)))
    answer = httpx.post(f"{running.url}/v1/modules", content=canonical(manifest))
    assert answer.is_success, answer.text
    return str(answer.json()["module"]["digest"])


def deploy(running: CloudService, to: str = "all") -> dict[str, int]:
    wish = {"module": "probe", "to": to}
    answer = httpx.post(f"{running.url}/v1/deployments", json=wish)
    assert answer.is_success, answer.text
    return dict(answer.json()["revisions"])


def summary(running: CloudService, device: str) -> dict[str, object]:
    answer = httpx.get(f"{running.url}/v1/devices/{device}")
    return dict(answer.json()["summary"]) if answer.is_success else {}


def await_summary(running: CloudService, device: str, **wanted: object) -> dict[str, object]:
    def ask() -> dict[str, object] | None:
        found = summary(running, device)
        return found if wanted.items() <= found.items() else None

    return await_value(ask)


def test_a_module_reaches_a_device_and_what_it_says_is_shown(on_any_broker: CloudService) -> None:
    running = on_any_broker
    digest = publish(running)
    with ScriptedDevice("line-1", running.broker_url) as device:
        await_summary(running, "line-1", presence="online")
        assert deploy(running) == {"line-1": 1}
        wanted = device.await_desired(1)
        assert wanted.slots["probe"].digest == digest
        assert not summary(running, "line-1")["is_settled"]
        device.report(wanted)
        await_summary(running, "line-1", is_settled=True, revision_applied=1)
        device.send(telemetry("line-1", event_row(10, name="swapped"), result_row(11, {"y": 1})))
        device.send(health("line-1", rss_mb=80.0))
        assert [ack.seqs for ack in device.await_acks(2)] == [(1,), (10, 11)]
        results = await_value(lambda: httpx.get(f"{running.url}/v1/results").json())
        assert results[0]["result"] == {"y": 1}
    # Its connection broke without a goodbye: the last will says so.
    await_summary(running, "line-1", presence="offline")
    answer = httpx.delete(f"{running.url}/v1/modules/probe/1")
    assert answer.status_code == 409
    assert "line-1" in answer.json()["text"]


def test_orders_and_acknowledgements_outlive_a_power_cut_of_the_service(
    service: CloudService,
) -> None:
    publish(service)
    with ScriptedDevice("line-1", service.broker_url) as device:
        await_summary(service, "line-1", presence="online")
        deploy(service)
        device.await_desired(1)
        device.send(telemetry("line-1", event_row(1, name="kept")))
        device.await_acks(1)
    service.kill()
    service.start()
    await_connected(service)
    # The embedded broker died with it; the orders are published again.
    with ScriptedDevice("line-1", service.broker_url, boot_id="second") as device:
        device.await_desired(1)
        events = httpx.get(f"{service.url}/v1/events?name=kept").json()
        assert len(events) == 1
        # The device never got the answer, so it sends the row again.
        device.send(telemetry("line-1", event_row(1, name="kept")))
        device.await_acks(1)
        assert len(httpx.get(f"{service.url}/v1/events?name=kept").json()) == 1


@pytest.mark.slow
def test_what_a_device_says_while_the_service_is_down_is_there_when_it_is_back(
    nats_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    running = CloudService(tmp_path / "cloud", broker=nats_broker.url).start()
    agent = AgentProcess(tmp_path / "line-1", running.url, nats_broker.url)
    try:
        await_connected(running)
        agent.start()
        first = await_value(lambda: reported_boot(running, "line-1"))
        running.stop()
        # Another boot: its report goes to a broker that has nobody to give it to.
        agent.stop()
        agent.start()
        await_value(lambda: agent.await_status().cloud.is_connected)
        await_value(lambda: agent.status().outbox_rows)
        running.start()
        # Nothing tells the device that it is back: what was not acknowledged is sent again.
        await_value(lambda: reported_boot(running, "line-1") not in ("", first), timeout_s=60)
        await_value(lambda: agent.status().outbox_rows == 0, timeout_s=60)
    finally:
        agent.stop()
        running.stop()


def reported_boot(running: CloudService, device: str) -> str:
    answer = httpx.get(f"{running.url}/v1/devices/{device}")
    reported = answer.json()["reported"] if answer.is_success else None
    return str(reported["boot_id"]) if reported else ""


def test_rubbish_from_devices_stops_nothing(service: CloudService) -> None:
    await_connected(service)
    with ScriptedDevice("line-1", service.broker_url) as device:
        for channel in (Channel.STATUS, Channel.REPORTED, Channel.HEALTH, Channel.TELEMETRY):
            for payload in (b"", b"{", b'{"v":99}', b"\xff" * 1000, b"x" * 2_000_000):
                device.send_raw(control("line-1", channel), payload)
        device.send_raw(f"shoal/v1/{'x' * 80}/up/status", b"{}")
        device.send(telemetry("line-1", event_row(5)))
        device.await_acks(1)
    events = httpx.get(f"{service.url}/v1/events?name=malformed_message").json()
    assert {event["detail"]["code"] for event in events} >= {"version_newer", "too_large"}
    assert httpx.get(f"{service.url}/v1/info").json()["ok"]


def test_two_agents_with_one_name_become_an_event(service: CloudService) -> None:
    await_connected(service)
    first = ScriptedDevice("line-1", service.broker_url, boot_id="one")
    await_summary(service, "line-1", presence="online")
    second = ScriptedDevice("line-1", service.broker_url, boot_id="two")
    # The broker lets one of them in at a time; both come back again and again.
    event = await_value(lambda: httpx.get(f"{service.url}/v1/events?name=two_agents").json())[0]
    assert event["level"] == "error"
    assert "two agents use the name 'line-1'" in event["text"]
    first.vanish()
    second.vanish()


def test_a_broker_that_is_down_at_the_start_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    running = CloudService(tmp_path / "cloud", broker=f"mqtt://127.0.0.1:{port}").start()
    try:
        info = httpx.get(f"{running.url}/v1/info").json()
        assert (info["ok"], info["broker_connected"]) == (False, False)
        assert publish(running)  # what needs no broker works
        await_value(lambda: "event=broker_unreachable" in running.log())
        broker = EmbeddedBroker(tmp_path / "late", port=port)
        broker.start()
        try:
            await_connected(running)
        finally:
            broker.stop()
    finally:
        running.stop()


def test_orders_given_while_the_broker_is_away_are_published_later(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker")
    broker.start()
    running = CloudService(tmp_path / "cloud", broker=broker.url).start()
    try:
        await_connected(running)
        publish(running)
        httpx.put(f"{running.url}/v1/devices/line-1")
        broker.stop()
        await_value(lambda: not httpx.get(f"{running.url}/v1/info").json()["broker_connected"])
        deploy(running, to="line-1")
        broker.start()
        with ScriptedDevice("line-1", broker.url) as device:
            device.await_desired(1)
    finally:
        running.stop()
        broker.stop()


def test_the_embedded_broker_is_started_again_when_it_dies(service: CloudService) -> None:
    await_connected(service)
    children = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text().split()
    broker = next(
        int(pid) for pid in children if b"nats" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(broker, signal.SIGKILL)
    await_value(lambda: "event=broker_died" in service.log())
    await_connected(service)


def test_a_stop_is_quick_and_says_goodbye_to_nobody_waiting(service: CloudService) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(service.url).port or 0)):
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 5
    assert not (service.data_dir / "service.json").exists()


def test_systemd_is_told_when_it_is_ready_and_that_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(15)
        running = CloudService(tmp_path / "cloud", environment={"NOTIFY_SOCKET": str(path)}).start()
        told = [manager.recv(100), manager.recv(100)]
        running.stop()
        while told[-1] != b"STOPPING=1":
            told.append(manager.recv(100))
    assert told[:2] == [b"READY=1", b"WATCHDOG=1"]


def run(*arguments: str) -> tuple[int, str]:
    """Run a `cloud-sync` command that ends; its exit status and what it complained about."""
    done = subprocess.run(
        [sys.executable, "-m", "cloud_sync.app", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr + done.stdout


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        api = run("serve", "--port", port, "--data-dir", str(tmp_path / "a"))
        broker = run(
            "serve", "--port", "0", "--broker-port", port, "--data-dir", str(tmp_path / "b")
        )
    for status, text in (api, broker):
        assert status == 1
        assert f"cannot listen on 127.0.0.1:{port}" in text
        assert "what to do: " in text


def test_a_database_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    running = CloudService(tmp_path).start()
    running.stop()
    database = Database(f"sqlite:///{running.data_dir / FILE_NAME}")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    status, text = run("serve", "--port", "0", "--data-dir", str(running.data_dir))
    assert status == 1
    assert "error: the database has version 9999" in text
    assert "what to do: update shoal" in text


def test_a_data_folder_belongs_to_one_service(service: CloudService) -> None:
    status, text = run(
        "serve", "--port", "0", "--broker-port", "0", "--data-dir", str(service.data_dir)
    )
    assert status == 1
    assert f"in use by another cloud-sync (process {service.pid})" in text


def test_other_addresses_than_loopback_need_a_word(tmp_path: Path) -> None:
    status, text = run("serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path))
    assert status == 1
    assert "--allow-remote" in text


def test_init_writes_settings_that_serve_reads(tmp_path: Path) -> None:
    status, text = run("init", str(tmp_path / "new"))
    assert (status, "next:" in text) == (0, True)
    config = tmp_path / "new" / "cloud-sync.toml"
    assert (tmp_path / "new" / "data" / FILE_NAME).exists()
    assert run("init", str(tmp_path / "new"))[0] == 1  # nothing is overwritten
    config.write_text(config.read_text().replace("[http]", "[http]\nprot = 1"))
    status, text = run("serve", "--config", str(config))
    assert status == 1
    assert "unknown key 'prot'" in text
    assert "did you mean 'port'" in text


def test_start_up_prints_where_everything_is(service: CloudService) -> None:
    lines = service.log()
    ready = json.loads((service.data_dir / "service.json").read_text())
    assert ready == {"url": service.url, "broker_url": service.broker_url, "pid": service.pid}
    for text in (service.url, service.broker_url, str(service.data_dir), "/v1/openapi.json"):
        assert text in lines
