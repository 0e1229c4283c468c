"""How a simulated fleet behaves, and what becomes of one version on one device. Pure."""

from fnmatch import fnmatchcase
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from cloud_sync.simulator.chance import chance, span
from edge_agent.contract.state import WantedSlot

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=366 * 86_400)]
Ending = Literal["runs", "rejected", "rolled_back", "hangs"]

SLOWNESS: Final = 10.0
"""How many times as long a slow device takes."""
MOST_FAILURES: Final = 3
"""Failures of a device that fails at first, before it succeeds."""


class Flaw(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wrong with a version, wherever it runs.

    Attributes:
        of: `module/version`, each of them may be a pattern: `shuttle/3`, `*/7`.
        wrong: share of answers that differ from those of another version.
        errors: share of messages that fail in the model.
        late: share of answers that take a quarter of a second.
        memory: how many times as much as a sound version takes.
        psi: population stability index of its scores, against its profile and, in shadow, against
            the champion's.
        rejects: share of devices that refuse it for good.
        rolls_back: share of devices that take it back after their trial.
        hangs: share of devices that never get done with it.
        relapses: share of devices that run it and are found to run the previous one later.
    """

    of: Annotated[str, Meta(min_length=1, max_length=100)]
    wrong: Share = 0.0
    errors: Share = 0.0
    late: Share = 0.0
    memory: Annotated[float, Meta(ge=0.1, le=1_000)] = 1.0
    psi: Annotated[float, Meta(ge=0, le=100)] = 0.0
    rejects: Share = 0.0
    rolls_back: Share = 0.0
    hangs: Share = 0.0
    relapses: Share = 0.0


class Behaviour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a simulated fleet does, in rates.

    Attributes:
        seed: of every choice.
        fetch_s: how long it takes to download a version, on average.
        prove_s: golden cases and start of the worker, on average.
        trial_s: the trial on live messages, on average.
        messages_per_s: that come to each slot.
        fails: share of devices where a version fails at first, and is tried again.
        slow: share of devices where everything takes ten times as long.
        away: share of its time that a device is away.
        away_s: how long it is away, on average.
        reboots: share of the times away that were a reboot; the others only lost the connection.
        health_interval_s: between two health reports; the service may want another.
        wrong: share of answers of a sound version that differ from those of another sound one.
        errors: share of messages that fail in a sound version.
        memory_mb: of a worker.
        flaws: of versions; the first that fits counts.
    """

    seed: int = 1
    fetch_s: Seconds = 2.0
    prove_s: Seconds = 1.0
    trial_s: Seconds = 5.0
    messages_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 10.0
    fails: Share = 0.0
    slow: Share = 0.0
    away: Annotated[float, Meta(ge=0, le=0.95)] = 0.0
    away_s: Annotated[float, Meta(gt=0, le=366 * 86_400)] = 60.0
    reboots: Share = 0.5
    health_interval_s: Annotated[float, Meta(ge=1, le=86_400)] = 30.0
    wrong: Share = 0.002
    errors: Share = 0.001
    memory_mb: Annotated[float, Meta(gt=0, le=100_000)] = 20.0
    flaws: tuple[Flaw, ...] = ()

    def flaw_of(self, wanted: WantedSlot) -> Flaw:
        """What is wrong with a version; nothing if no flaw names it."""
        name = f"{wanted.module}/{wanted.version}"
        return next((flaw for flaw in self.flaws if fnmatchcase(name, flaw.of)), Flaw(of=name))


class Fate(Struct, frozen=True, kw_only=True):
    """What becomes of one version on one device, however often it is tried there.

    Attributes:
        ending: how it ends.
        failures: before it goes on.
        fetch_s, prove_s, trial_s: how long each step takes.
        relapse_s: how long after it was committed the device runs the previous version again;
            None for never.
    """

    ending: Ending = "runs"
    failures: int = 0
    fetch_s: float = 0.0
    prove_s: float = 0.0
    trial_s: float = 0.0
    relapse_s: float | None = None


def fate_of(behaviour: Behaviour, device: str, wanted: WantedSlot) -> Fate:
    """What becomes of a version on a device."""
    seed, digest = behaviour.seed, wanted.digest
    flaw = behaviour.flaw_of(wanted)
    times = SLOWNESS if chance(seed, device, "slow") < behaviour.slow else 1.0
    fails = chance(seed, device, digest, "fails")
    failures = 0
    if fails < behaviour.fails:
        failures = 1 + int(MOST_FAILURES * fails / behaviour.fails)
    relapses = chance(seed, device, digest, "relapses") < flaw.relapses
    return Fate(
        ending=_ending(chance(seed, device, digest, "ending"), flaw),
        failures=failures,
        fetch_s=times * span(seed, behaviour.fetch_s, device, digest, "fetch"),
        prove_s=times * span(seed, behaviour.prove_s, device, digest, "prove"),
        trial_s=times * span(seed, behaviour.trial_s, device, digest, "trial"),
        relapse_s=span(seed, 20.0, device, digest, "relapse") if relapses else None,
    )


def _ending(drawn: float, flaw: Flaw) -> Ending:
    for ending, share in (
        ("rejected", flaw.rejects),
        ("rolled_back", flaw.rolls_back),
        ("hangs", flaw.hangs),
    ):
        if drawn < share:
            return ending  # type: ignore[return-value]  # the pairs above are endings
        drawn -= share
    return "runs"
