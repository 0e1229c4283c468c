"""Whether a device has arrived at what a deployment wanted of it. Pure: no I/O, no clock.

Only the running digest that the device itself reported counts as success; a report that does
not know of the deployment yet proves nothing, in either direction.
"""

from typing import Final, Literal

from msgspec import Struct

from cloud_sync.resources import DeploymentResult, DeviceDetail
from edge_agent.contract.state import Phase, ReportedSlot

_MINUTES_S: Final = 90.0
"""What is shorter is told in seconds."""


class Arrival(Struct, frozen=True, kw_only=True):
    """Where one device stands.

    Attributes:
        state: "running" what was wanted; "waiting" for it; "failed", which waiting cannot mend.
        phase: of the slot as reported, or empty.
        text: why, for people; empty when it runs.
    """

    device: str
    state: Literal["running", "waiting", "failed"]
    phase: str
    text: str


def judge(detail: DeviceDetail, result: DeploymentResult) -> Arrival:
    """Compare what a device reports with what a deployment wanted of it.

    Args:
        detail: the device as the service knows it.
        result: of the deployment.
    """
    device = detail.summary.device
    wanted = detail.desired.slots.get(result.slot)
    reported = detail.reported.slots.get(result.slot) if detail.reported else None
    phase = str(reported.phase) if reported else ""

    def arrival(state: Literal["running", "waiting", "failed"], text: str = "") -> Arrival:
        return Arrival(device=device, state=state, phase=phase, text=text)

    revision = result.revisions.get(device)
    if revision == 0 and (wanted is None or wanted.digest != result.digest):
        why = f"shoal rollout status {result.rollout} --devices says why"
        return arrival("waiting", f"not asked yet: {why}")
    if wanted is None or wanted.digest != result.digest:
        instead = f"{wanted.module}/{wanted.version}" if wanted else "nothing"
        return arrival("failed", f"somebody else has since asked for {instead} in this slot")
    if detail.reported is None or detail.reported.revision_seen < (revision or 0):
        return arrival("waiting", _silence(detail))
    if reported is None:
        return arrival("waiting", f"has not begun yet{_presence(detail)}")
    runs_it = reported.running == result.digest and reported.shadows == wanted.shadows
    if reported.phase is Phase.ACTIVE and runs_it:
        return arrival("running")
    if reported.wanted == result.digest and reported.phase in (Phase.REJECTED, Phase.ROLLED_BACK):
        return arrival("failed", f"{_phase(reported)}{_error(reported)}")
    if reported.is_put_off:
        return arrival("waiting", f"{_lock(reported, detail)}{_presence(detail)}")
    return arrival("waiting", f"{_phase(reported)}{_error(reported)}{_presence(detail)}")


def _silence(detail: DeviceDetail) -> str:
    if detail.summary.presence == "online":
        return "online, has not answered yet"
    if detail.summary.last_seen is None:
        return "never seen: is its agent running?"
    return f"{detail.summary.presence}: will get it when it is back"


def _presence(detail: DeviceDetail) -> str:
    return "" if detail.summary.presence == "online" else f", device {detail.summary.presence}"


def _phase(slot: ReportedSlot) -> str:
    if slot.is_waiting_its_turn:
        return "waits its turn, so that a fleet does not ask at once"
    return slot.phase.value.replace("_", " ")


def _lock(slot: ReportedSlot, detail: DeviceDetail) -> str:
    """Until when the device puts it off, as a length of time: its clock may be any."""
    said = f": {slot.error.text}" if slot.error is not None else ""
    if slot.locked_until is None or detail.reported is None:
        return f"waits for an update lock of the device{said}"
    left_s = slot.locked_until - detail.reported.time - (detail.reported_age_s or 0.0)
    left = f"{max(1, round(left_s))} s" if left_s < _MINUTES_S else f"{round(left_s / 60)} min"
    return f"waits for an update lock of the device, {left} more at most{said}"


def _error(slot: ReportedSlot) -> str:
    if slot.error is None:
        return ""
    tries = f" (attempt {slot.attempts})" if slot.attempts else ""
    return f": {slot.error.code}: {slot.error.text}{tries}"
