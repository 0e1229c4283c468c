"""Whether a device has arrived at what a deployment wanted of it. Pure: no I/O, no clock.

Only the running digest that the device itself reported counts as success; a report that does
not know of the deployment yet proves nothing, in either direction.
"""

from typing import Literal

from msgspec import Struct

from cloud_sync.resources import DeploymentResult, DeviceDetail
from edge_agent.contract.state import Phase, ReportedSlot


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

    if wanted is None or wanted.digest != result.digest:
        instead = f"{wanted.module}/{wanted.version}" if wanted else "nothing"
        return arrival("failed", f"somebody else has since asked for {instead} in this slot")
    revision = result.revisions.get(device, 0)
    if detail.reported is None or detail.reported.revision_seen < revision:
        return arrival("waiting", _silence(detail))
    if reported is None:
        return arrival("waiting", f"has not begun yet{_presence(detail)}")
    runs_it = reported.running == result.digest and reported.shadows == wanted.shadows
    if reported.phase is Phase.ACTIVE and runs_it:
        return arrival("running")
    if reported.wanted == result.digest and reported.phase in (Phase.REJECTED, Phase.ROLLED_BACK):
        return arrival("failed", f"{_phase(reported)}{_error(reported)}")
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


def _error(slot: ReportedSlot) -> str:
    if slot.error is None:
        return ""
    tries = f" (attempt {slot.attempts})" if slot.attempts else ""
    return f": {slot.error.code}: {slot.error.text}{tries}"
