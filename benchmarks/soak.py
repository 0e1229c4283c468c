"""Does anything grow while it works: memory, file descriptors, threads?

    python -m benchmarks.soak [--seconds 600] [--every-s 0.01]

The real service and a real agent with three modules, whose rows come with QoS 1: one sends every
result to the cloud, one the changes, one none. Sampled every second after a warm-up; `*_per_day`
is the slope of a straight line through the samples, `*_error` half the width of its 95 % interval,
`grows` names what certainly grows. A short soak has a wide interval: the length is part of what is
said.
"""

import argparse
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Literal

import psutil

from benchmarks.device import NumberedLoad
from benchmarks.report import Figure, finish, say
from benchmarks.trend import BLOCKS, trend
from cloud_sync.client import ShoalClient
from edge_agent.contract.manifest import Input, Output
from edge_agent.contract.state import Phase
from tests.support.agents import AgentProcess
from tests.support.brokers import MosquittoBroker
from tests.support.models import build_module
from tests.support.service import CloudService
from tests.support.waiting import wait_for

DEVICE: Final = "soak-1"
WARM_UP: Final = 0.5
"""The first part of the time, in which caches and pools fill."""
INSTALL_S: Final = 60.0
LAST_WAIT_S: Final = 30.0
UPLINKS: Final[dict[str, Literal["all", "changes", "none"]]] = {
    "soak-all": "all",
    "soak-changes": "changes",
    "soak-none": "none",
}

Sample = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--every-s", type=float, default=0.01, help="between two rows of a module")
    options = parser.parse_args()
    finish("soak", soak(options.seconds, options.every_s), ("onnxruntime", "msgspec"))
    return 0


def soak(seconds: float, every_s: float = 0.01) -> dict[str, Figure]:
    """Let everything work for a while.

    Args:
        seconds: of sampling and warm-up together; at least 60.
        every_s: between two rows of each module.

    Returns:
        The slopes and their errors, and what the load lost.
    """
    if seconds < 5 * BLOCKS:
        raise ValueError(f"a soak expected at least {5 * BLOCKS} seconds, found {seconds:g}")
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="shoal-soak-")))
        service = CloudService(folder / "cloud").start()
        ends.callback(service.stop)
        broker = MosquittoBroker(folder / "data", is_durable=False)
        broker.start()
        ends.callback(broker.stop)
        agent = AgentProcess(
            folder / "agent",
            service.url,
            service.broker_url,
            device=DEVICE,
            data_broker=broker.url,
        )
        agent.start()
        ends.callback(agent.stop)
        _install(agent, service, folder)
        loads = [NumberedLoad(broker, slot, every_s) for slot in UPLINKS]
        for load in loads:
            load.next_answer_s(time.monotonic(), INSTALL_S)
        times, samples = _watch((agent.process, service.process), seconds)
        figures = _figures(times, samples)
        sent = lost = doubled = 0
        for load in loads:
            counts = load.finish(LAST_WAIT_S)
            sent, lost, doubled = sent + counts[0], lost + counts[1], doubled + counts[2]
    return {"seconds": round(seconds), **figures, "sent": sent, "lost": lost, "doubled": doubled}


def _install(agent: AgentProcess, service: CloudService, folder: Path) -> None:
    agent.await_status(INSTALL_S)
    with ShoalClient(service.url, actor="soak") as client:
        wait_for(
            lambda: any(found.device == DEVICE for found in client.devices.search()), INSTALL_S
        )
        for slot, uplink in UPLINKS.items():
            built = build_module(
                folder / slot,
                name=slot,
                source=Input(topic=f"bench/{slot}/in"),
                output=Output(topic=f"bench/{slot}/out", uplink=uplink),
            )
            client.modules.publish(built)
            client.deployments.deploy(slot, DEVICE)

    def is_active() -> bool:
        slots = agent.status().slots
        return all(slot in slots and slots[slot].state.phase is Phase.ACTIVE for slot in UPLINKS)

    wait_for(is_active, INSTALL_S, lambda: agent.log)


def _watch(tops: tuple[object, ...], seconds: float) -> tuple[list[float], list[Sample]]:
    """A sample a second of the agent and the service, each with all its processes."""
    agent, service = (psutil.Process(top.pid) for top in tops)  # type: ignore[attr-defined]
    began = time.monotonic()
    times: list[float] = []
    samples: list[Sample] = []
    pause = threading.Event()
    while (now := time.monotonic() - began) < seconds:
        if now >= seconds * WARM_UP:
            sample = {f"agent_{name}": value for name, value in _look(agent).items()}
            sample |= {f"cloud_{name}": value for name, value in _look(service).items()}
            times.append(now)
            samples.append(sample)
        if round(now) % 60 == 0:
            say(f"{now:.0f} of {seconds:.0f} s")
        pause.wait(max(0.0, began + now + 1 - time.monotonic()))
    return times, samples


def _look(top: psutil.Process) -> Sample:
    rss = fds = threads = 0.0
    for process in (top, *top.children(recursive=True)):
        try:
            with process.oneshot():
                rss += process.memory_info().rss / 1e6
                fds += process.num_fds()
                threads += process.num_threads()
        except psutil.NoSuchProcess:
            continue  # it ended between the listing and the look
    return {"rss_mb": rss, "fds": fds, "threads": threads}


def _figures(times: list[float], samples: list[Sample]) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    grows: list[str] = []
    for key in samples[0]:
        values = [sample[key] for sample in samples]
        line = trend(times, values)
        if line.grows:
            grows.append(key)
        figures[f"{key}_first"] = round(values[0], 1)
        figures[f"{key}_last"] = round(values[-1], 1)
        figures[f"{key}_per_day"] = round(line.per_day, 2)
        figures[f"{key}_error"] = round(line.error, 2)
    figures["grows"] = ", ".join(grows)
    return figures


if __name__ == "__main__":
    sys.exit(main())
