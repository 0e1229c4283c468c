"""Why a slot is where it is, what happens next and what to do: one answer, on device and in cloud.

Pure. Both sides know a slot as it is reported; what only one of them knows (the way to the cloud,
how old the report is) they add themselves.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from edge_agent.contract.advice import what_to_do
from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import (
    UNSETTLED,
    UPDATE_LOCKED,
    Phase,
    ReportedSlot,
    WantedSlot,
)

_ON_ITS_WAY: Final = {
    Phase.ABSENT: "The device knows what is wanted and is about to begin",
    Phase.FETCHING: "It is being downloaded",
    Phase.VERIFIED: "The files are there and right, the installation follows",
    Phase.INSTALLED: "It is installed, the trial follows",
    Phase.TRIAL: "It is proving itself, and is kept when it passes",
    Phase.ACTIVE: "It runs what is wanted",
}
"""Where nothing needs doing, unless its worker is in trouble."""

_BY_PHASE: Final = {
    Phase.FAILED: "It is tried again by itself; `shoal device retry` has it tried now.",
    Phase.REJECTED: "It is not tried again by itself: deploy another version, or, once the cause "
    "is gone, have it tried once more with `shoal device retry`.",
    Phase.ROLLED_BACK: "The version before it runs on. Deploy a corrected version, or, once the "
    "cause is gone, have it tried once more with `shoal device retry`.",
}


class Explanation(Struct, frozen=True, kw_only=True):
    """A slot, explained.

    Attributes:
        slot: its name.
        wanted: `module/version` that should run, or empty.
        wanted_digest: its digest.
        running: `module/version` that does run, or empty.
        running_digest: its digest.
        phase: of the wanted version; empty if nothing is known of it.
        since_s: seconds since the phase was entered; None if that is not known.
        error_code: stable code of the last failure, or empty.
        error: `code: text` of the last failure, or empty.
        error_step: the step that failed, or empty.
        attempts: how often the wanted version was tried and failed.
        next_retry_s: seconds until the next attempt, or None if none is due.
        advice: what a person can do, or that nothing needs doing.
    """

    slot: str
    wanted: str = ""
    wanted_digest: str = ""
    running: str = ""
    running_digest: str = ""
    phase: str = ""
    since_s: float | None = None
    error_code: str = ""
    error: str = ""
    error_step: str = ""
    attempts: int = 0
    next_retry_s: float | None = None
    advice: str = ""

    @property
    def is_error_past(self) -> bool:
        """Whether the error is one of an earlier attempt: it is older than the phase."""
        is_of_now = self.phase in UNSETTLED or self.error_code == UPDATE_LOCKED
        return bool(self.error) and not is_of_now

    @property
    def error_row(self) -> str:
        """What people are shown the error as."""
        return "last error" if self.is_error_past else "error"


def explain_slot(
    slot: str,
    state: ReportedSlot | None,
    *,
    now: float,
    wanted: WantedSlot | None = None,
    health: SlotHealth | None = None,
    held: str = "",
) -> Explanation:
    """Explain a slot as it was reported.

    Args:
        slot: its name.
        state: as reported; None if it never was.
        now: seconds since 1970, by the clock that the report's times are of.
        wanted: what should run, where that is known better than from the report.
        health: of its worker; None if it has none, or nothing was heard of it.
        held: why nothing happens to it for now and what to do; empty if it goes on.
    """
    if state is None:
        return Explanation(
            slot=slot,
            wanted=_named(wanted.module, wanted.version) if wanted else "",
            wanted_digest=wanted.digest if wanted else "",
            advice=held or _settling(Phase.ABSENT, ""),
        )
    error = state.error
    return Explanation(
        slot=slot,
        wanted=_named(wanted.module, wanted.version)
        if wanted
        else _named(state.module, state.wanted_version),
        wanted_digest=wanted.digest if wanted else state.wanted,
        running=_named(health.module if health else state.module, state.running_version),
        running_digest=state.running,
        phase=state.phase.value,
        since_s=max(0.0, now - state.since) if state.since else None,
        error_code=error.code if error else "",
        error=f"{error.code}: {error.text}" if error else "",
        error_step=error.step if error else "",
        attempts=state.attempts,
        next_retry_s=None if state.next_retry is None else max(0.0, state.next_retry - now),
        advice=" ".join(_advice(state, health, held)),
    )


def worker_trouble(health: SlotHealth | None) -> str:
    """What keeps a slot's worker from answering, and what to do; empty if nothing does."""
    if health is None:
        return ""
    reason = health.error or (health.last_crash if health.state == "crashed" else "")
    if health.state == "crashed":
        code = (health.last_crash or health.error).partition(":")[0]
        told = f" ({reason})" if reason else ""
        return f"Its process ended{told}, and is started again. {what_to_do(code)}"
    if health.state == "running" and not health.connected:
        told = f": {reason}" if reason else ""
        return (
            f"It is loaded, and the data broker is away{told}. Check data.broker (or cloud.broker) "
            "in the device's agent.toml."
        )
    return ""


def _advice(state: ReportedSlot, health: SlotHealth | None, held: str) -> Iterator[str]:
    if held:
        yield held
        return
    if state.is_put_off:
        yield what_to_do(UPDATE_LOCKED)
        return
    if state.is_waiting_its_turn:
        yield "It waits its turn, so that a fleet does not ask at once; nothing to do."
        return
    trouble = worker_trouble(health)
    if state.phase not in UNSETTLED:
        yield _settling(state.phase, trouble)
        return
    if state.error is not None:
        yield what_to_do(state.error.code)
    yield _BY_PHASE[state.phase]
    if trouble:
        yield trouble


def _settling(phase: Phase, trouble: str) -> str:
    """One advice: that of the worker's trouble if it has one, or that nothing needs doing."""
    if not trouble:
        return f"{_ON_ITS_WAY[phase]}; nothing to do."
    return trouble if phase is Phase.ACTIVE else f"{_ON_ITS_WAY[phase]}. {trouble}"


def _named(module: str, version: int) -> str:
    return f"{module}/{version}" if module and version else ""
