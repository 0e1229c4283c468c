"""From the name that a client gives to the door of a slot's worker, or to the reason why not."""

import asyncio
import time
from typing import Final

from edge_agent.contract.names import check_name, did_you_mean
from edge_agent.daemon.http.agent_view import AgentView
from edge_agent.daemon.http.doors import Door, Doors, NoDoor
from edge_agent.daemon.http.request import Refused
from edge_agent.daemon.status import AgentStatus, SlotStatus
from edge_agent.errors import ContractError
from edge_agent.runtime.door_wire import DoorHello

LOOK_AGAIN_S: Final = 0.02
"""Between two looks for a worker that is about to listen."""


class SlotDoors:
    """Finds doors.

    Args:
        doors: the ways to the workers.
        agent: knows which slots there are.
    """

    def __init__(self, doors: Doors, agent: AgentView) -> None:
        self._doors = doors
        self._agent = agent

    async def open(self, model: str, patience: float) -> tuple[Door, DoorHello]:
        """The door of a slot, or of the only slot with a module of that name.

        Args:
            model: the slot's name, or the module's.
            patience: until when to wait for a worker, seconds, monotonic.

        Raises:
            Refused: 404, there is none; 409, there are several; 503, nobody answers there now.
        """
        try:
            check_name("model", model)
        except ContractError as error:
            raise Refused(404, error.text, code=error.code) from error
        slot = model if self._doors.known(model) is not None else ""
        while True:
            try:
                if slot:
                    return await self._doors.open(slot)
                status = await self._agent.status()
                slot = slot_of(model, status)
                return await self._doors.open(slot)
            except NoDoor:
                status = await self._agent.status()
                slot = slot_of(model, status)
                reason = why_not(status.slots[slot])
                if reason or time.monotonic() >= patience:
                    raise unavailable(model, reason or "its worker does not listen") from None
            await asyncio.sleep(LOOK_AGAIN_S)


def has_worker(slot: SlotStatus) -> bool:
    """Whether a slot's worker runs."""
    worker = slot.worker
    return worker is not None and worker.state == "running"


def is_asked(slot: SlotStatus) -> bool:
    """Whether a slot is there to be asked; a shadow answers nobody, and is nobody's business."""
    return not slot.state.shadows and (slot.worker is None or slot.worker.shadow is None)


def slot_of(model: str, status: AgentStatus) -> str:
    """The slot of this name, or the only one with a module of this name.

    Raises:
        Refused: 404, there is none; 409, there are several.
    """
    if model in status.slots:
        return model
    found = [
        name for name, slot in status.slots.items() if slot.state.module == model and is_asked(slot)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(
            409,
            f"module {model!r} runs in several slots",
            hint=f"name the slot: {', '.join(found)}",
            code="ambiguous",
        )
    raise Refused(
        404,
        f"model {model!r} is not on device {status.device}",
        hint=did_you_mean(model, status.slots),
        code="not_found",
    )


def why_not(slot: SlotStatus) -> str:
    """Why it makes no sense to wait for a slot's worker; empty if it may be there any moment."""
    worker = slot.worker
    if worker is None:
        error = slot.state.error
        if slot.is_busy and error is None:
            return ""
        return f"{error.code}: {error.text}" if error else f"it is {slot.state.phase.value}"
    if worker.shadow is not None:
        return f"it is the shadow of {worker.shadow.of!r} and answers nobody"
    if worker.state == "crashed":
        return worker.error or "its process ended"
    return ""


def unavailable(model: str, reason: str) -> Refused:
    """The refusal of a request that nobody answers now."""
    return Refused(
        503,
        f"model {model!r} does not answer now: {reason}",
        hint="'edge-agent status' shows it",
        code="not_ready",
        headers=(("retry-after", "1"),),
    )
