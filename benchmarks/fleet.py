"""A whole rollout over a fleet of 10,000 devices, on one machine with mosquitto and SQLite.

    python -m benchmarks.fleet [--devices 10000] [--only-fleet]

The devices are simulated, each with an MQTT connection of its own; broker, service and planner are
real. First everybody gets version 1, then version 2 goes out by the default policy without its
soak: five stages, beside the champion first in two of them, judged by the default gates, which wait
for the devices' health reports, one in 30 s. `rollout_s` is from the order to the completed
rollout, `stage_N_s` what each stage of it took with its shadow step, `messages` what the devices
sent and were sent meanwhile, `most_in_flight` of the tenth that may be on their way at once, and
`gates` what the stages passed by. All promises of rollouts are checked from the recorded events and
from what the devices said (`reports`) and ran: `violations`. Then what planning 100,000 devices
costs, and how often the gates err, as `benchmarks.rollout_plan` and `benchmarks.gates` say.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import select

from benchmarks.milestones import milestones
from benchmarks.report import Figure, finish, say
from cloud_sync.broker.session import parse_url
from cloud_sync.client import ShoalClient
from cloud_sync.db.engine import Database, sqlite_url
from cloud_sync.db.rollout_tables import rollouts
from cloud_sync.rollout import journal, store
from cloud_sync.rollout.invariants import History, violations
from cloud_sync.rollout.violation import Heard, Installed
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import RolloutDetail, RolloutState, RolloutWish
from cloud_sync.simulator.behaviour import Behaviour
from cloud_sync.simulator.device import Outgoing, SimulatedDevice
from cloud_sync.simulator.fleet import SimulatedFleet, raise_file_limit
from cloud_sync.simulator.inventory import names
from edge_agent.contract.state import AgentInfo, Phase, ReportedState
from edge_agent.contract.wire import decode
from tests.support.brokers import MosquittoBroker
from tests.support.models import build_module
from tests.support.service import CloudService

DEVICES: Final = 10_000
MODULE: Final = "pump"
BEHAVIOUR: Final = Behaviour(
    fetch_s=1.0, prove_s=0.5, trial_s=1.0, messages_per_s=50.0, health_interval_s=30.0
)
POLICY: Final = Policy(soak_s=0.0, soak_messages=0)
FIRST: Final = Policy(
    stages=("100%",),
    shadow_stages=0,
    max_in_flight="100%",
    max_in_flight_per_site="100%",
    soak_s=0.0,
    soak_messages=0,
    gates=None,
)
BROKER: Final = "max_inflight_messages 500\nmax_connections -1\n"
"""Twenty messages on their way to the service would hold it up, and with no bound it would hear and
never speak."""
LONGEST_S: Final = 1_800.0
GRACE_S: Final = 5.0
LOOK_S: Final = 1.0
OVER: Final = frozenset(RolloutState) - {
    *(RolloutState.DRAFT, RolloutState.READY, RolloutState.RUNNING),
    *(RolloutState.PENDING_APPROVAL, RolloutState.ROLLING_BACK),
}


class Record:
    """What the devices said, for the judge."""

    def __init__(self) -> None:
        self._reports: list[tuple[float, bytes]] = []

    @property
    def count(self) -> int:
        """Reports that were sent, some of them again."""
        return len(self._reports)

    def take(self, now: float, message: Outgoing) -> None:
        if message.topic.endswith("/up/reported"):
            self._reports.append((now, message.payload))

    def heard(self) -> Iterator[Heard]:
        """Each report once: a service takes no report that is older than the last one."""
        last: Counter[str] = Counter()
        for now, payload in self._reports:
            report = decode(ReportedState, payload)
            if report.seq <= last[report.device]:
                continue
            last[report.device] = report.seq
            slot = report.slots.get(MODULE)
            yield Heard(
                device=report.device,
                slot=MODULE,
                time=now,
                revision_seen=report.revision_seen,
                running=slot.running if slot else "",
                is_active=slot is None or slot.phase is Phase.ACTIVE,
            )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument(
        "--only-fleet", action="store_true", help="neither planning 100,000 devices nor the gates"
    )
    options = parser.parse_args()
    figures = measure(options.devices)
    if not options.only_fleet:
        planned, judged = _other("rollout_plan"), _other("gates")
        figures |= {name: planned[name] for name in ("plan_100k_s", "plan_100k_mb")}
        figures |= {name: judged[name] for name in ("false_alarm_rate", "miss_rate")}
    finish("fleet", figures, ("sqlalchemy", "msgspec", "paho-mqtt"))
    return 0 if figures["violations"] == 0 and figures["state"] == "completed" else 1


def measure(devices: int) -> dict[str, Figure]:
    """A rollout over so many devices, from the start of the service to the judge's word."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="shoal-fleet-")))
        raise_file_limit(devices + 64)  # the broker inherits it
        broker = MosquittoBroker(folder / "broker", is_durable=False, extra=BROKER)
        broker.start()
        ends.callback(broker.stop)
        # The spread is there for a real fleet's downloads; here it would be all that is measured.
        quick = {"CLOUD_SYNC_FLEET_STARTS_PER_S": "100000"}
        service = CloudService(folder / "cloud", broker=broker.url, environment=quick).start()
        ends.callback(service.stop)
        client = ends.enter_context(ShoalClient(service.url, actor="benchmark", timeout=300))
        for version in (1.0, 2.0):
            client.modules.publish(build_module(folder / str(version), name=MODULE, bias=version))
        record = Record()
        figures, installed = asyncio.run(_story(devices, service, client, record, broker.pid))
        service.stop()
        histories = read_histories(service.data_dir)
    say(f"judging {sum(len(history.events) for history in histories)} events")
    found = violations(
        histories,
        heard=record.heard(),
        installed=installed,
        until=time.time(),
        grace_s=GRACE_S,
    )
    figures |= milestones(histories[-1].events)
    figures |= {
        "violations": len(found),
        "events": sum(len(history.events) for history in histories),
        "reports": record.count,
    }
    for violation in found[:20]:
        say(f"violation: {violation}")
    return figures


async def _story(
    devices: int, service: CloudService, client: ShoalClient, record: Record, broker_pid: int
) -> tuple[dict[str, Figure], list[Installed]]:
    fleet = SimulatedFleet(
        parse_url(service.broker_url),
        names("sim", devices),
        BEHAVIOUR,
        AgentInfo(version="simulated"),
        watch=record.take,
    )
    processes = {
        "service": psutil.Process(service.pid),
        "broker": psutil.Process(broker_pid),
        "simulator": psutil.Process(os.getpid()),
    }
    async with fleet:
        clock = time.monotonic()
        await _until(fleet, lambda: all(map(_is_settled, fleet.devices)), "all have reported")
        connect_s = time.monotonic() - clock
        first = await asyncio.to_thread(_start, client, 1, FIRST)
        deployed = await _finish(fleet, client, first)
        used = {name: _cpu_s(process) for name, process in processes.items()}
        sent = fleet.numbers().messages
        clock = time.monotonic()
        second = await asyncio.to_thread(_start, client, 2, POLICY)
        over = await _finish(fleet, client, second)
        rollout_s = time.monotonic() - clock
        figures: dict[str, Figure] = {
            "devices": devices,
            "stages": len(over.summary.stages),
            "state": over.summary.state.value,
            "rollout_s": round(rollout_s, 1),
            "messages": fleet.numbers().messages - sent,
            "connect_s": round(connect_s, 1),
            "first_version_s": round(_took(deployed), 1),
        }
        for name, process in processes.items():
            figures[f"{name}_cpu_s"] = round(_cpu_s(process) - used[name], 1)
            figures[f"{name}_rss_mb"] = round(process.memory_info().rss / 1e6, 1)
        await asyncio.sleep(GRACE_S)
        installed = [
            Installed(
                device=device.name, slot=began.slot, revision=began.revision, digest=began.digest
            )
            for device in fleet.devices
            for began in device.began
        ]
    figures["connections_lost"] = fleet.numbers().losses - devices
    return figures, installed


def _start(client: ShoalClient, version: int, policy: Policy) -> RolloutDetail:
    wish = RolloutWish(module=MODULE, to="all", version=version, policy=policy, seed=1)
    return client.rollouts.create(wish)


async def _finish(
    fleet: SimulatedFleet, client: ShoalClient, rollout: RolloutDetail
) -> RolloutDetail:
    """Wait until a rollout is over, whatever it came to."""
    number = rollout.summary.id
    seen: list[RolloutDetail] = [rollout]

    def is_over() -> bool:
        seen[:] = [client.rollouts.show(number)]
        summary = seen[0].summary
        counts = Counter[str]()
        for stage in summary.stages:
            counts.update(stage.counts)
        say(f"{number} {summary.state}: {dict(counts)} {summary.state_reason}")
        return summary.state in OVER

    await _until(fleet, is_over, f"{number} is over")
    return seen[0]


async def _until(fleet: SimulatedFleet, is_done: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + LONGEST_S
    while not await asyncio.to_thread(is_done):
        fleet.check()
        if time.monotonic() > ends:
            raise TimeoutError(f"{what}: not within {LONGEST_S:g} s")
        await asyncio.sleep(LOOK_S)


def _is_settled(device: SimulatedDevice) -> bool:
    """Whether the service has committed what the device said."""
    return device.outbox.next_seq > 1 and not len(device.outbox)


def _took(detail: RolloutDetail) -> float:
    summary = detail.summary
    return (summary.ended or 0.0) - (summary.started or 0.0)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def read_histories(data_dir: Path) -> list[History]:
    """Everything that the service has recorded of its rollouts, the oldest first."""
    database = Database(sqlite_url(data_dir))
    histories: list[History] = []
    try:
        with database.read() as connection:
            for number in connection.scalars(select(rollouts.c.id).order_by(rollouts.c.id)):
                found = store.load(connection, number)
                assert found is not None
                events = journal.read(connection, number, limit=10_000_000)
                histories.append(History(rollout=found.rollout, events=events))
    finally:
        database.close()
    return histories


def _other(name: str) -> dict[str, Figure]:
    """The figures of another benchmark."""
    say(f"python -m benchmarks.{name}")
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, Figure] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
