"""What a round of a rollout costs with its database: `python -m benchmarks.rollout_rounds`.

10,000 devices that run a first version by `shoal deploy`, and a rollout of a second one in the
middle of its largest stage, with a tenth of them on their way: the service's own parts on a real
SQLite file, without network. Processor seconds, because the disk's part depends on the disk; the
rounds that follow each other without news, those with some reports, and what it takes to begin.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from benchmarks.report import Figure, finish, say
from cloud_sync.resources import Deployment
from cloud_sync.rollout.course import Course
from cloud_sync.rollout_policy import Policy
from cloud_sync.rollout_resources import AssignmentState, RolloutWish
from edge_agent.contract.state import Phase, ReportedSlot
from tests.support.cloud import Cloud, change, cloud
from tests.support.crowd import crowd
from tests.support.letters import letter, reported
from tests.support.puppets import Clock

ROUNDS: Final = 30
NEWS: Final = 10
BATCH: Final = 256
PAGE: Final = 1_000
POLICY: Final = Policy(
    stages=("1", "1%", "10%", "50%", "100%"),
    shadow_stages=0,
    soak_s=0,
    soak_messages=0,
    gates=None,
    max_in_flight="10%",
    max_in_flight_per_site="100%",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    count = parser.parse_args().devices
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, cloud(Path(folder), clock=clock) as made:
        finish("rollout_rounds", Bench(made, clock, count).run())
    return 0


class Bench:
    """A fleet in a database, and a rollout to it."""

    def __init__(self, made: Cloud, clock: Clock, count: int) -> None:
        self._made = made
        self._clock = clock
        self._names = [f"device-{number}" for number in range(count)]
        self._numbers = dict.fromkeys(self._names, 0)
        self._digest = ""
        self._version = 0

    def run(self) -> dict[str, Figure]:
        """Measure everything."""
        made, names = self._made, self._names
        crowd(made, names)
        self._publish(b"first")
        say(f"deploying to {len(names)} devices")
        wish = Deployment(module="probe", to="all")
        figures: dict[str, Figure] = {
            "devices": len(names),
            "deploy_cpu_s": _cpu_s(lambda: made.parts.deployments.deploy(wish, change())),
        }
        made.driver.look()
        self._report(names)
        made.driver.look()
        self._publish(b"second")
        asked = RolloutWish(module="probe", to="all", policy=POLICY, seed=1)
        figures["plan_cpu_s"] = _cpu_s(lambda: made.parts.rollouts.plan(asked, change()))
        figures["start_cpu_s"] = _cpu_s(
            lambda: made.parts.rollouts.create(asked, change(self._clock.now), start=True)
        )
        bound = len(names) // 10
        while len(on_their_way := self._offered()) < bound:
            self._report(on_their_way)
            self._clock.now += 1
            made.driver.look()
        say(f"rounds with {len(on_their_way)} devices on their way")
        figures |= {"in_flight": len(on_their_way), "look_cpu_ms": self._look()}
        return figures | self._rounds(on_their_way)

    def _look(self) -> float:
        """What a watcher's look costs the service, with what the devices in line wait for."""
        show = self._made.parts.rollouts.query.get
        now = self._clock.now
        return statistics.median(_cpu_s(lambda: show("r2", now=now)) for _ in range(ROUNDS)) * 1e3

    def _rounds(self, on_their_way: list[str]) -> dict[str, Figure]:
        course = Course(2, "bench", 50.0)
        self._made.driver.stop()
        begin = _cpu_s(lambda: self._round(course))
        quiet = [_cpu_s(lambda: self._round(course)) for _ in range(ROUNDS)]
        busy: list[float] = []
        for number in range(ROUNDS):
            self._report(on_their_way[number * NEWS : (number + 1) * NEWS])
            busy.append(_cpu_s(lambda: self._round(course)))
        return {
            "first_round_cpu_ms": begin * 1e3,
            "quiet_round_cpu_ms": statistics.median(quiet) * 1e3,
            "quiet_round_worst_cpu_ms": max(quiet) * 1e3,
            "round_with_10_reports_cpu_ms": statistics.median(busy) * 1e3,
        }

    def _round(self, course: Course) -> None:
        self._clock.now += 1
        with self._made.parts.database.write() as connection:
            course.play(connection, self._clock.now)

    def _publish(self, data: bytes) -> None:
        module = self._made.publish(data=data).module
        self._digest, self._version = module.digest, module.version

    def _offered(self) -> list[str]:
        """Devices that were offered the version and have not said anything yet."""
        found: list[str] = []
        while True:
            page = self._made.parts.rollouts.query.assignments(
                "r2", states=[AssignmentState.OFFERED], limit=PAGE, offset=len(found)
            )
            found += [one.device for one in page]
            if len(page) < PAGE:
                return found

    def _report(self, names: Iterable[str]) -> None:
        """Let devices say that they run the newest version."""
        slot = ReportedSlot(
            module="probe",
            phase=Phase.ACTIVE,
            running=self._digest,
            running_version=self._version,
            wanted=self._digest,
        )
        letters = []
        for name in names:
            self._numbers[name] += 1
            message = reported(
                name,
                seq=self._numbers[name],
                slots={"probe": slot},
                revision_seen=self._version,
                revision_applied=self._version,
            )
            letters.append(letter(message))
        for start in range(0, len(letters), BATCH):
            self._made.ingest.write(letters[start : start + BATCH])


def _cpu_s(job: Callable[[], object]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


if __name__ == "__main__":
    raise SystemExit(main())
