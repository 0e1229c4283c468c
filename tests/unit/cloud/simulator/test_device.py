"""A simulated device, message by message, by a clock that the test sets."""

from collections.abc import Sequence

import pytest

from cloud_sync.simulator.behaviour import Behaviour, Flaw
from cloud_sync.simulator.device import Outgoing, SimulatedDevice
from cloud_sync.simulator.profiles import Profiles
from edge_agent.contract.messages import (
    Ack,
    Command,
    CommandResult,
    Event,
    Health,
    Status,
    Telemetry,
)
from edge_agent.contract.names import digest_of
from edge_agent.contract.scores import Profile, ScoreBins
from edge_agent.contract.shadows import shadow_slot
from edge_agent.contract.state import (
    AgentInfo,
    AgentSettings,
    DesiredState,
    Phase,
    ReportedState,
    WantedSlot,
)
from edge_agent.contract.topics import Channel, control, parse
from edge_agent.contract.wire import decode, encode

BEGAN = 1_800_000_000.0
NAME = "sim-00001"
SOUND = Behaviour(health_interval_s=10, fetch_s=2, prove_s=1, trial_s=2)


def wanted(version: int = 1, **more: object) -> WantedSlot:
    digest = digest_of(str(version).encode())
    return WantedSlot(module="m", version=version, digest=digest, **more)  # type: ignore[arg-type]


class Watched:
    """A device whose messages are kept, read."""

    def __init__(
        self,
        behaviour: Behaviour = SOUND,
        name: str = NAME,
        profiles: Profiles | None = None,
    ) -> None:
        scores = (profiles or Profiles()).scores_of
        self.device = SimulatedDevice(name, behaviour, BEGAN, AgentInfo(version="1"), scores)
        self.now = BEGAN
        self.said: list[Outgoing] = []
        self.revision = 0
        self.connect()

    def connect(self) -> None:
        self.said.append(self.device.connected(self.now))

    def want(self, slots: dict[str, WantedSlot], settings: AgentSettings | None = None) -> None:
        self.revision += 1
        state = DesiredState(
            device=self.device.name,
            revision=self.revision,
            slots=slots,
            settings=settings or AgentSettings(),
        )
        self.tell(Channel.DESIRED, encode(state))

    def tell(self, channel: Channel, payload: bytes, message_id: str = "") -> None:
        self.device.take(control(self.device.name, channel, message_id), payload, self.now)

    def live(self, seconds: float) -> Sequence[Outgoing]:
        """Go on, as an event loop would: to each moment when there is something to do."""
        until, before = self.now + seconds, len(self.said)
        while (due := self.device.due(self.now)) <= until:
            self.now = max(due, self.now + 1e-3)
            self.said.extend(self.device.work(self.now))
        self.now = until
        return self.said[before:]

    def reports(self) -> list[ReportedState]:
        """Each once, in the order in which they were made."""
        made = {report.seq: report for report in self.sent_reports()}
        return [made[seq] for seq in sorted(made)]

    def sent_reports(self) -> list[ReportedState]:
        return [decode(ReportedState, m.payload) for m in self.of(Channel.REPORTED)]

    def health(self) -> Health:
        return decode(Health, self.of(Channel.HEALTH)[-1].payload)

    def of(self, channel: Channel) -> list[Outgoing]:
        return [message for message in self.said if parse(message.topic).channel is channel]

    def phases(self, slot: str = "m") -> list[Phase]:
        found = [r.slots[slot].phase for r in self.reports() if slot in r.slots]
        return [p for i, p in enumerate(found) if i == 0 or found[i - 1] is not p]


def test_it_says_that_it_is_there_and_leaves_a_will() -> None:
    watched = Watched()
    birth = watched.said[0]
    assert birth.is_retained
    assert decode(Status, birth.payload).state == "online"
    will = watched.device.will(BEGAN)
    assert decode(Status, will.payload).state == "offline"
    assert decode(Status, will.payload).boot_id == decode(Status, birth.payload).boot_id


def test_a_version_goes_through_the_phases_and_runs() -> None:
    watched = Watched()
    watched.want({"m": wanted()})
    watched.live(30)
    assert watched.phases() == [Phase.FETCHING, Phase.INSTALLED, Phase.TRIAL, Phase.ACTIVE]
    last = watched.reports()[-1]
    assert last.slots["m"].running == wanted().digest
    assert (last.revision_seen, last.revision_applied) == (1, 1)


def test_on_trial_the_new_version_answers_and_the_old_one_comes_back_if_it_fails() -> None:
    watched = Watched(
        Behaviour(trial_s=5, flaws=(Flaw(of="m/2", rolls_back=1.0),), health_interval_s=1000)
    )
    watched.want({"m": wanted(1)})
    watched.live(60)
    watched.want({"m": wanted(2)})
    watched.live(60)
    on_trial = [r.slots["m"] for r in watched.reports() if r.slots["m"].phase is Phase.TRIAL]
    assert on_trial[-1].running == wanted(2).digest
    last = watched.reports()[-1].slots["m"]
    assert (last.phase, last.running, last.wanted) == (
        Phase.ROLLED_BACK,
        wanted(1).digest,
        wanted(2).digest,
    )
    assert last.error is not None
    names = {
        row.seq: decode(Event, bytes(row.data)).name
        for message in watched.of(Channel.TELEMETRY)
        for row in decode(Telemetry, message.payload).rows
    }
    assert list(names.values()) == ["slot_active", "slot_rolled_back"]


def test_going_back_before_the_new_version_is_done_takes_no_trial() -> None:
    watched = Watched()
    watched.want({"m": wanted(1)})
    watched.live(30)
    watched.want({"m": wanted(2)})
    watched.live(0.5)
    watched.want({"m": wanted(1)})
    watched.live(1)
    last = watched.reports()[-1].slots["m"]
    assert (last.phase, last.running) == (Phase.ACTIVE, wanted(1).digest)


def test_a_lower_revision_is_never_followed() -> None:
    watched = Watched()
    watched.want({"m": wanted(1)})
    watched.live(30)
    old = DesiredState(device=NAME, revision=0)
    watched.tell(Channel.DESIRED, encode(old))
    watched.live(5)
    assert watched.device.slots["m"].wanted == wanted(1)


def test_rows_are_sent_again_until_they_are_acknowledged() -> None:
    watched = Watched()
    watched.live(1)
    [first] = watched.sent_reports()
    watched.live(60)
    again = watched.sent_reports()
    assert [r.seq for r in again] == [first.seq] * len(again)
    assert len(again) > 1
    ack = Ack(boot_id=first.boot_id, seqs=(first.seq,))
    watched.tell(Channel.ACK, encode(ack))
    watched.live(600)
    assert len(watched.sent_reports()) == len(again)
    assert len(watched.device.outbox) == 0


def test_what_was_in_flight_is_sent_again_after_a_lost_connection() -> None:
    watched = Watched()
    watched.live(1)
    watched.device.lost()
    watched.live(5)
    count = len(watched.sent_reports())
    watched.connect()
    watched.live(0.1)
    assert [r.seq for r in watched.sent_reports()[count:]] == [1, 2]


def test_a_shadow_counts_how_its_answers_differ_from_the_champions() -> None:
    flaws = (Flaw(of="m/2", wrong=0.3),)
    watched = Watched(Behaviour(messages_per_s=100, health_interval_s=10, flaws=flaws))
    watched.want({"m": wanted(1)})
    watched.live(60)
    shadow = wanted(2, mode="shadow", shadows="m")
    watched.want({"m": wanted(1), shadow_slot("m"): shadow})
    watched.live(120)
    found = watched.health().slots[shadow_slot("m")].shadow
    assert found is not None
    assert (found.of, found.version) == ("m", 1)
    assert 0.25 < 1 - found.agreed / found.seen < 0.35
    assert watched.health().slots["m"].shadow is None


def test_scores_are_counted_by_the_profile_of_a_version_that_has_one() -> None:
    profiles = Profiles()
    watched = Watched(Behaviour(errors=0.05, health_interval_s=10), profiles=profiles)
    watched.want({"m": wanted(1)})
    watched.live(60)
    assert watched.health().slots["m"].scores == ()
    bins = ScoreBins(edges=(0.5,), counts=(90, 10, 0))
    profiles.learn(wanted(1).digest, Profile(output="score", columns=(bins,)))
    watched.live(60)
    slot = watched.health().slots["m"]
    answered = slot.messages_in - slot.failed["model_failed"]
    assert sum(slot.scores) == answered > 500
    assert slot.scores[0] == pytest.approx(0.9 * answered, abs=5)


def test_counters_follow_from_the_time_and_not_from_when_they_are_asked() -> None:
    often = Watched(Behaviour(health_interval_s=1, errors=0.05))
    seldom = Watched(Behaviour(health_interval_s=50, errors=0.05))
    for watched in (often, seldom):
        watched.want({"m": wanted(1)})
        watched.live(200)
    left, right = (w.device.health(w.now).slots["m"] for w in (often, seldom))
    assert left.failed == right.failed
    assert left.total == right.total
    assert left.messages_in > 1000


def test_the_same_seed_gives_the_same_reports() -> None:
    rough = Behaviour(
        seed=7, fails=0.5, slow=0.5, flaws=(Flaw(of="m/2", rolls_back=0.5, rejects=0.3),)
    )

    def told(name: str) -> list[tuple[float, object]]:
        watched = Watched(rough, name)
        for version in (1, 2):
            watched.want({"m": wanted(version)})
            watched.live(400)
        return [(r.time, r.slots) for r in watched.reports()]

    names = [f"sim-{number}" for number in range(20)]
    assert [told(name) for name in names] == [told(name) for name in reversed(names)][::-1]


def test_a_device_that_fails_at_first_tries_again_and_gets_there() -> None:
    watched = Watched(Behaviour(fails=1.0))
    watched.want({"m": wanted(1)})
    watched.live(120)
    assert Phase.FAILED in watched.phases()
    last = watched.reports()[-1].slots["m"]
    assert (last.phase, last.running) == (Phase.ACTIVE, wanted(1).digest)


def test_a_device_that_relapses_is_found_to_run_what_it_ran_before() -> None:
    watched = Watched(Behaviour(flaws=(Flaw(of="m/2", relapses=1.0),)))
    for version in (1, 2):
        watched.want({"m": wanted(version)})
        watched.live(120)
    assert watched.phases()[-2:] == [Phase.ACTIVE, Phase.ROLLED_BACK]
    assert watched.reports()[-1].slots["m"].running == wanted(1).digest


def test_devices_that_are_told_together_spread_their_first_requests() -> None:
    watched = Watched()
    watched.want({"m": wanted()}, AgentSettings(fetch_spread_s=1000.0))
    watched.live(1)
    assert watched.reports()[-1].slots["m"].is_waiting_its_turn
    watched.live(1100)
    assert watched.reports()[-1].slots["m"].phase is Phase.ACTIVE


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Command(name="report", deadline=BEGAN + 1e6), ""),
        (Command(name="retry-slot", deadline=BEGAN + 1e6, slot="none"), "slot_not_found"),
        (Command(name="report", deadline=BEGAN - 1), "expired"),
    ],
)
def test_commands_are_answered(command: Command, code: str) -> None:
    watched = Watched()
    watched.tell(Channel.COMMAND, encode(command), "c1")
    watched.live(1)
    [message] = watched.of(Channel.RESULT)
    result = decode(CommandResult, message.payload)
    assert (result.code, result.ok) == (code, not code)
    assert message.topic.endswith("/c1")


def test_times_away_take_the_share_that_was_asked_for() -> None:
    behaviour = Behaviour(away=0.25, away_s=100)
    devices = [Watched(behaviour, f"sim-{number}").device for number in range(30)]
    looks = [device.is_away(BEGAN + at) for at in range(0, 40_000, 50) for device in devices]
    assert 0.2 < sum(looks) / len(looks) < 0.3


def test_a_reboot_is_another_boot_whose_workers_begin_anew() -> None:
    watched = Watched(Behaviour(away=0.5, away_s=1000, reboots=1.0, health_interval_s=10))
    watched.want({"m": wanted()})
    watched.live(30)
    before = watched.reports()[-1].boot_id
    device = watched.device
    watched.now = BEGAN + device.outage.ends
    device.lost()
    device.returned(watched.now)
    watched.connect()
    watched.live(5)
    assert watched.reports()[-1].boot_id != before
    assert device.health(watched.now).slots["m"].messages_in < 100
