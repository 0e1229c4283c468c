"""What a device pays: memory, idle processor time, time to the first answer without a cloud.

    python -m benchmarks.footprint [--idle-seconds 30]

One agent with one module (the shuttle forest) on a local broker of its own; then another one with
ten small modules: `first_module_pss_mb` is what the first adds to the control process, with the
process that workers are forked from, and `further_module_pss_mb` what each of the nine others adds;
`idle_cpu_percent` is of all ten, `one_module_idle_cpu_percent` of the first device.
Memory is PSS: pages that processes share are divided among them, so that the sum over processes is
what is really used. `offline_first_inference_s` is from the start of the agent to the first
answer, with nothing of the cloud to be reached; `offline_all_modules_s` until each of the ten
modules has answered, after a power cut.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from paho.mqtt.client import MQTTMessage

from benchmarks.device import Device
from benchmarks.report import finish, say
from cloud_sync.broker.embedded import EmbeddedBroker
from cloud_sync.client import ShoalClient
from cloud_sync.demo.mqtt import connect
from cloud_sync.demo.programs import Programs, command, wait_for, write_agent_settings
from cloud_sync.demo.shuttle import ShuttleModule
from edge_agent.contract.state import Phase
from tests.support.clean_install import install_base

DEVICE = "bench-1"
TIMEOUT_S = 60.0
HEALTH_INTERVAL_S = 30  # as a device has it whose settings say nothing
BOOTS = 5
MODULES = 10
PACKAGES = ("onnxruntime", "numpy", "paho-mqtt", "msgspec")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="shoal-footprint-") as name:
        folder = Path(name)
        say("installing the base into a clean environment")
        base = install_base(folder)
        data_broker = EmbeddedBroker(folder / "data-broker")
        data_broker.start()
        try:
            module, settings = _install(folder, data_broker)
            figures = _run(folder, settings, module, data_broker, options.idle_seconds)
        finally:
            data_broker.stop()
        figures.update(_many(folder / "many", options.idle_seconds))
    finish(
        "footprint",
        {
            **figures,
            "base_install_mb": round(base.size_mb, 1),
            "import_ms": round(base.import_ms, 1),
            "modules_imported": base.modules,
        },
        PACKAGES,
    )
    return 0


def _install(folder: Path, data_broker: EmbeddedBroker) -> tuple[ShuttleModule, Path]:
    """Deploy the module to a device, then end device and service; the device's disk remains."""
    module = ShuttleModule(folder)
    say("training and building the module")
    trained = module.make(2, lambda *_: None)
    with Programs(folder / "logs") as programs:
        data = folder / "cloud"
        ports = ("--port", "0", "--broker-port", "0")
        programs.start(
            "cloud-sync", [*command("cloud-sync"), "serve", "--data-dir", str(data), *ports]
        )
        ready = data / "service.json"
        wait_for("cloud-sync", ready.exists, programs, timeout_s=TIMEOUT_S)
        service = json.loads(ready.read_text())
        settings = write_agent_settings(
            folder / DEVICE,
            device=DEVICE,
            cloud_url=service["url"],
            broker_url=service["broker_url"],
            health_interval_s=HEALTH_INTERVAL_S,
        )
        with settings.open("a") as file:
            file.write(f'\n[data]\nbroker = "{data_broker.url}"\n')
        programs.start(DEVICE, [*command("edge-agent"), "run", "--config", str(settings)])
        with ShoalClient(service["url"], actor="benchmark") as client:
            wait_for(
                "the device online",
                lambda: any(d.presence == "online" for d in client.devices.search()),
                programs,
                timeout_s=TIMEOUT_S,
            )
            client.modules.publish(trained.built)
            say("deploying")
            arrivals = client.deployments.wait(
                client.deployments.deploy(module.name, DEVICE), TIMEOUT_S
            )
        if any(a.state != "running" for a in arrivals):
            raise RuntimeError(f"the module does not run: {arrivals}")
    return module, settings


def _run(
    folder: Path,
    settings: Path,
    module: ShuttleModule,
    data_broker: EmbeddedBroker,
    idle_seconds: float,
) -> dict[str, str | int | float | bool | None]:
    """Boot the device without any cloud, several times; look at the last one while it idles."""
    row = module.held_out().rows[0]
    first_answer_s: list[float] = []
    control_mb, workers_mb, idle_percent = 0.0, 0.0, 0.0
    for boot in range(BOOTS):
        say(f"boot {boot + 1} of {BOOTS}, no cloud")
        with (folder / "agent.log").open("ab") as log:
            started = time.monotonic()
            agent = subprocess.Popen(
                [*command("edge-agent"), "run", "--config", str(settings)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            first_answer_s.append(_await_answer(data_broker.url, row) - started)
            if boot == BOOTS - 1:
                say(f"idling for {idle_seconds:g} s")
                time.sleep(3)  # what starting left to do is over
                idle_percent = _cpu_percent(agent.pid, idle_seconds)
                control_mb, workers_mb = _pss_mb(agent.pid)
        finally:
            agent.terminate()
            agent.wait(20)
    return {
        "agent_pss_mb": round(control_mb + workers_mb, 1),
        "control_pss_mb": round(control_mb, 1),
        "worker_pss_mb": round(workers_mb, 1),
        "one_module_idle_cpu_percent": round(idle_percent, 2),
        "idle_seconds": idle_seconds,
        "offline_first_inference_s": round(statistics.median(first_answer_s), 3),
        "offline_first_inference_max_s": round(max(first_answer_s), 3),
        "boots": BOOTS,
    }


def _many(folder: Path, idle_seconds: float) -> dict[str, str | int | float | bool | None]:
    """The same device with more and more modules."""
    with Device(folder, "nats", HEALTH_INTERVAL_S) as device:
        children: list[float] = []
        for number in range(1, MODULES + 1):
            slot = f"module-{number}"
            device.install(slot, 1, device.build(slot), Phase.ACTIVE)
            if number in (1, MODULES):
                time.sleep(3)  # the trial's process is gone
                _tell_family(device.pid)
                children.append(_pss_mb(device.pid)[1])
        say(f"idling with {MODULES} modules for {idle_seconds:g} s")
        idle_percent = _cpu_percent(device.pid, idle_seconds)
        slots = [f"module-{number}" for number in range(1, MODULES + 1)]
        offline_s: list[list[float]] = []
        for boot in range(BOOTS):
            say(f"boot {boot + 1} of {BOOTS} with {MODULES} modules, no cloud")
            started = device.reboot_offline()
            answered = _await_answers(device.broker.url, slots)
            offline_s.append([moment - started for moment in answered.values()])
    return {
        "modules": MODULES,
        "offline_all_modules_s": round(statistics.median(map(max, offline_s)), 3),
        "offline_all_modules_max_s": round(max(map(max, offline_s)), 3),
        "first_module_pss_mb": round(children[0], 1),
        "further_module_pss_mb": round((children[1] - children[0]) / (MODULES - 1), 1),
        "idle_cpu_percent": round(idle_percent, 2),
    }


def _tell_family(pid: int) -> None:
    """How the memory is made up, for a person."""
    say(f"{'process':16} {'PSS':>7} {'private':>8} {'shared':>7} MB")
    for process in _family(pid):
        memory = process.memory_full_info()
        private = memory.uss / 1e6
        say(
            f"{process.name()[:16]:16} {memory.pss / 1e6:7.1f} {private:8.1f} "
            f"{memory.rss / 1e6 - private:7.1f}"
        )


def _await_answer(broker_url: str, row: bytes) -> float:
    """Send a row every 10 ms until one is answered; the moment of the answer, monotonic."""
    answered: list[float] = []
    client = connect("bench-reader", broker_url)
    client.on_message = lambda *_: answered.append(time.monotonic())
    client.subscribe("results/#", qos=0)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while not answered:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer within {TIMEOUT_S:g} s")
            client.publish("sensors/a/shuttle", row, qos=0)
            time.sleep(0.01)
    finally:
        client.disconnect()
        client.loop_stop()
    return answered[0]


def _await_answers(broker_url: str, slots: list[str]) -> dict[str, float]:
    """Send every slot a row every 20 ms until it answers; the moments of the answers, monotonic."""
    answered: dict[str, float] = {}

    def heard(_client: object, _data: object, message: MQTTMessage) -> None:
        answered.setdefault(message.topic.split("/")[1], time.monotonic())

    client = connect("bench-reader", broker_url)
    client.on_message = heard
    client.subscribe("bench/+/out", qos=0)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while len(answered) < len(slots):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{sorted(set(slots) - answered.keys())} gave no answer")
            for slot in slots:
                if slot not in answered:
                    client.publish(f"bench/{slot}/in", b'{"id": 1, "a": 1, "b": 1, "c": 1}', qos=0)
            time.sleep(0.02)
    finally:
        client.disconnect()
        client.loop_stop()
    return answered


def _family(pid: int) -> list[psutil.Process]:
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def _cpu_percent(pid: int, seconds: float) -> float:
    """Processor time of a process and its children, percent of one core."""

    def spent() -> float:
        times = [p.cpu_times() for p in _family(pid)]
        return float(sum(t.user + t.system for t in times))

    before, begun = spent(), time.monotonic()
    time.sleep(seconds)
    return 100 * (spent() - before) / (time.monotonic() - begun)


def _pss_mb(pid: int) -> tuple[float, float]:
    """PSS of a process, and of its children together."""
    mb = [p.memory_full_info().pss / 1e6 for p in _family(pid)]
    return mb[0], sum(mb[1:])


if __name__ == "__main__":
    sys.exit(main())
