"""The story of the demo: a fleet, a model, real rows, and a second version under load.

It uses what a user has: the programs, the SDK, the module folder. Nothing here knows the inside
of the service or the agent.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from cloud_sync.client import ShoalClient
from cloud_sync.demo.fleet_act import DEVICES as FLEET
from cloud_sync.demo.fleet_act import FleetAct, disagreement
from cloud_sync.demo.fleet_view import DEVICES, FleetView
from cloud_sync.demo.programs import Programs, command, wait_for, write_agent_settings
from cloud_sync.demo.reader import Reader
from cloud_sync.demo.score import Scorer, Verdict, confusion
from cloud_sync.demo.screen import Screen, device_table, progress_line, replay_view, summary
from cloud_sync.demo.shuttle import ShuttleModule, TrainedVersion
from cloud_sync.errors import Unavailable
from cloud_sync.resources import DeploymentResult

START_TIMEOUT_S: Final = 60.0
DEPLOY_TIMEOUT_S: Final = 60.0
IDLE_TIMEOUT_S: Final = 20.0
"""The replay is over when all rows are sent and no answer came for so long."""
SWAP_AT: Final = 0.4
"""Share of the rows after which version 2 is deployed."""
HOLD_AT: Final = 0.9
"""Share of the rows that are sent however long version 2 takes; the rest waits for it."""
HEALTH_INTERVAL_S: Final = 2.0
REDRAW_S: Final = 0.25
ACTOR: Final = "demo"


class Service(msgspec.Struct, frozen=True):
    """Where the demo's service listens."""

    url: str
    broker_url: str


class Story:
    """The demo, act by act.

    Args:
        screen: where it is shown.
        folder: for everything that is made; removed by the caller.
        programs: the processes that are started.
        module: the reference module.
        rows: how many held-out rows are replayed; 0 for all.
        rate_per_s: rows a second over all devices.
    """

    def __init__(
        self,
        screen: Screen,
        folder: Path,
        programs: Programs,
        module: ShuttleModule,
        *,
        rows: int,
        rate_per_s: float,
    ) -> None:
        self._screen = screen
        self._folder = folder
        self._programs = programs
        self._module = module
        self._limit = rows
        self._rate = rate_per_s
        self._go_file = folder / "version-2-runs"
        self.settings: dict[str, Path] = {}

    def start_fleet(self) -> Service:
        """Act 1: the service with its broker, and three devices."""
        self._screen.act(1, "three devices, and a model from data to a verified module")
        data = self._folder / "cloud"
        with self._screen.step("starting") as report:
            report("cloud-sync", 0.1)
            self._programs.start(
                "cloud-sync",
                [
                    *command("cloud-sync"),
                    "serve",
                    *("--data-dir", str(data)),
                    *("--port", "0", "--broker-port", "0"),
                ],
            )
            ready = data / "service.json"
            wait_for("cloud-sync", ready.exists, self._programs, timeout_s=START_TIMEOUT_S)
            service = msgspec.json.decode(ready.read_bytes(), type=Service)
            for count, device in enumerate(DEVICES):
                report(device, 0.3 + 0.2 * count)
                self.settings[device] = write_agent_settings(
                    self._folder / device,
                    device=device,
                    cloud_url=service.url,
                    broker_url=service.broker_url,
                    health_interval_s=HEALTH_INTERVAL_S,
                )
                self._programs.start(
                    device,
                    [*command("edge-agent"), "run", "--config", str(self.settings[device])],
                )
            with ShoalClient(service.url, actor=ACTOR) as client:
                wait_for(
                    "all devices online",
                    lambda: _online(client) >= set(DEVICES),
                    self._programs,
                    timeout_s=START_TIMEOUT_S,
                )
                for number, device in enumerate(DEVICES, 1):
                    client.devices.tag(device, set_tags={"site": "demo", "line": str(number)})
        self._screen.fact("service", f"{service.url}  (API, registry, fleet)")
        self._screen.fact("broker", f"{service.broker_url}  (MQTT)")
        self._screen.fact("devices", f"{', '.join(DEVICES)}: online, each a real edge-agent")
        return service

    def train(self) -> tuple[TrainedVersion, TrainedVersion]:
        """Two versions of a model from the first rows of a real data set."""
        made: list[TrainedVersion] = []
        for number in (1, 2):
            with self._screen.step(f"version {number}") as report:
                trained = self._module.make(number, report)
            made.append(trained)
            self._screen.fact(f"trained v{number}", trained.story)
        return made[0], made[1]

    def publish(self, client: ShoalClient, trained: TrainedVersion) -> int:
        """Register the model, publish the module; returns the module's version."""
        with self._screen.step("publishing") as report:
            report("model", 0.2)
            model = client.models.register(
                self._module.name,
                [trained.model_file],
                description="Random forest on the Statlog Shuttle data",
                tags={"data": "shuttle"},
                properties={"f1": f"{trained.f1:.6f}"},
            )
            report("module", 0.7)
            module = client.modules.publish(trained.built).module
        self._screen.fact(
            "published",
            f"{module.name}/{module.version}  {module.digest[:19]}…  {_size(module.size)}"
            f"  (model {model.name}/{model.version})",
        )
        return module.version

    def deploy(self, client: ShoalClient, version: int) -> None:
        """Deploy to all and wait until every device runs it."""
        wish = client.deployments.deploy(self._module.name, "all", version=version, reason="demo")
        begun = time.monotonic()
        with self._screen.step("deploying") as report:
            arrivals = client.deployments.wait(
                wish,
                DEPLOY_TIMEOUT_S,
                lambda all_: report(
                    f"{sum(a.state == 'running' for a in all_)} of {len(all_)} devices",
                    sum(a.state == "running" for a in all_) / len(all_),
                ),
            )
        late = [a for a in arrivals if a.state != "running"]
        if late:
            raise Unavailable(
                "; ".join(f"{a.device} does not run version {version}: {a.text}" for a in late),
                hint=f"see the logs in {self._folder / 'logs'}",
                code="deploy_failed",
            )
        self._screen.fact(
            "deployed",
            f"v{version} to {len(arrivals)} devices: fetched, verified, tried on its golden "
            f"cases, running after {time.monotonic() - begun:.1f} s",
        )

    def replay(
        self, client: ShoalClient, service: Service, versions: tuple[TrainedVersion, TrainedVersion]
    ) -> bool:
        """Act 2: held-out rows over MQTT, version 2 deployed on the way; True if all is well."""
        self._screen.act(2, "held-out rows over MQTT, and a new version under load")
        begun = time.monotonic()
        held_out = self._module.held_out()
        count = len(held_out.rows) if self._limit == 0 else min(self._limit, len(held_out.rows))
        offline = {v.number: v.labels for v in versions}
        scorer = Scorer(held_out.labels, offline)
        view = FleetView(client, self._module.name, scorer)
        reader = Reader(service.broker_url, scorer)
        note = ""
        wish: DeploymentResult | None = None
        idle_since, before, give_up = begun, 0, begun
        self._programs.start("sensor", self.sensor(service, count=count, rate_per_s=self._rate))
        try:
            with self._screen.live() as draw:
                while scorer.answered < count and time.monotonic() - idle_since < IDLE_TIMEOUT_S:
                    time.sleep(REDRAW_S)
                    self._programs.check()
                    if scorer.answered > before or not self._programs.is_done("sensor"):
                        idle_since, before = time.monotonic(), scorer.answered
                    if wish is None and scorer.answered >= count * SWAP_AT:
                        note = "version 2 published and deployed while rows keep coming"
                        wish = self._publish_quietly(client, versions[1])
                        give_up = time.monotonic() + DEPLOY_TIMEOUT_S
                    view.refresh()
                    if wish is not None and (view.all_run(2) or time.monotonic() > give_up):
                        self._go_file.touch()
                    table = device_table(
                        view.devices(), wanted=view.wanted, phases=view.phases, rates=view.rates
                    )
                    line = progress_line(scorer.answered, count, time.monotonic() - begun, note)
                    draw(replay_view(table, line))
        finally:
            reader.close()
        late = self._late(client, wish)
        if wish is not None and not late:
            self._screen.fact("swapped", f"v{wish.version} published and deployed on the way")
        verdict = scorer.verdict(range(count))
        view.refresh()
        self._screen.show(
            device_table(view.devices(), wanted=view.wanted, phases=view.phases, rates=None)
        )
        return self._judge(verdict, held_out.labels, versions, late, time.monotonic() - begun)

    def mislead(self, client: ShoalClient, champion: TrainedVersion) -> bool:
        """Act 3: a version that is subtly wrong goes to a fleet; True if it was caught."""
        self._screen.act(3, f"a version that is subtly wrong, and a fleet of {FLEET}")
        with self._screen.step("version 3") as report:
            wrong = self._module.make(3, report)
            client.models.register(self._module.name, [wrong.model_file], tags={"data": "shuttle"})
            client.modules.publish(wrong.built)
        act = FleetAct(self._screen, client, self._programs, self._module.name)
        share = disagreement(champion.labels, wrong.labels)
        self._screen.fact(
            "published",
            f"v3, one tree in place of a hundred: starts, is fast, golden cases passed; and on "
            f"{share:.1%} of the held-out rows it does not say what v2 says",
        )
        act.gather(champion, wrong)
        return act.roll_out(wrong, champion)

    def sensor(self, service: Service, *, count: int, rate_per_s: float) -> list[str]:
        """The command that publishes held-out rows; `count` 0 goes on for ever."""
        rows_file = self._folder / "held_out.jsonl"
        if not rows_file.exists():
            rows_file.write_bytes(b"\n".join(self._module.held_out().rows))
        return [
            *(sys.executable, "-m", "cloud_sync.demo.sensor"),
            *(service.broker_url, str(rows_file), str(count), str(rate_per_s)),
            *(str(int(count * HOLD_AT)), str(self._go_file), *DEVICES),
        ]

    def _late(self, client: ShoalClient, wish: DeploymentResult | None) -> list[str]:
        """Which devices do not run version 2 in the end, and why."""
        if wish is None:
            return ["version 2 was never deployed: too few rows were answered"]
        with self._screen.step("waiting until every device has kept version 2"):
            arrivals = client.deployments.wait(wish, DEPLOY_TIMEOUT_S)
        return [f"{a.device} does not run v2: {a.text}" for a in arrivals if a.state != "running"]

    def _publish_quietly(self, client: ShoalClient, trained: TrainedVersion) -> DeploymentResult:
        """Publish and deploy without a bar: the live table is on the screen."""
        client.models.register(self._module.name, [trained.model_file], tags={"data": "shuttle"})
        module = client.modules.publish(trained.built).module
        return client.deployments.deploy(
            module.name, "all", version=module.version, reason="demo: new version under load"
        )

    def _judge(
        self,
        verdict: Verdict,
        truth: Sequence[int],
        versions: tuple[TrainedVersion, TrainedVersion],
        late: list[str],
        seconds: float,
    ) -> bool:
        self._screen.console.print()
        alone = {v.number: confusion(truth, v.labels) for v in versions}
        self._screen.show(summary(verdict, alone, seconds))
        complaints = [*verdict.complaints([v.number for v in versions]), *late]
        self._screen.console.print()
        for text in complaints:
            self._screen.verdict(False, text)
        if not complaints:
            self._screen.verdict(
                True,
                "Every row was answered exactly once, before, during and after the new version, "
                "and every answer is the one that the model gives offline.",
            )
        return not complaints


def _online(client: ShoalClient) -> set[str]:
    try:
        return {d.device for d in client.devices.search() if d.presence == "online"}
    except Unavailable:
        return set()


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1_000_000 else f"{size / 1e3:.0f} kB"
