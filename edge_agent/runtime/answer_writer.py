"""How answers become bytes.

JSON is the hot path: everything that is the same for all messages of a slot is encoded once, and
what is the same for all messages of a batch once a batch. Other formats are made by their codecs
from the same values.
"""

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from edge_agent.contract.results import (
    InferenceError,
    InferenceFault,
    InferenceResult,
    StageTimes,
)
from edge_agent.errors import ShoalError
from edge_agent.runtime.binding.fault import FieldFault
from edge_agent.runtime.job import Job

_MAX_TEXT: Final = 1000
"""Characters of an error that is published."""

_encode: Final = msgspec.json.Encoder().encode


class AnswerWriter:
    """Makes the payloads of one slot's answers.

    Args:
        module: name of the module.
        version: of it.
        digest: of its manifest.
        device: name of the device.
        slot: name of the slot.
    """

    def __init__(self, *, module: str, version: int, digest: str, device: str, slot: str) -> None:
        self._module = module
        self._version = version
        self._digest = digest
        self._device = device
        self._slot = slot
        head = {
            "module": module,
            "version": version,
            "digest": digest,
            "device": device,
            "slot": slot,
        }
        self._head = _encode(head)[:-1] + b',"topic":'
        self._received_s = -1.0
        self._received = b""

    def times(self, decode_us: float, run_us: float, encode_us: float) -> bytes:
        """The part of a JSON result that messages of one batch have in common."""
        return b',"times_us":{"decode":%.1f,"run":%.1f,"encode":%.1f},"outputs":' % (
            decode_us,
            run_us,
            encode_us,
        )

    def json_result(self, job: Job, times: bytes, outputs: bytes, rows: int) -> bytes:
        """An `InferenceResult` as JSON.

        Args:
            job: the message.
            times: from `times`.
            outputs: as JSON.
            rows: in the message.
        """
        received_s = job.message.received_s
        if received_s != self._received_s:
            # What was read from the socket at once was received at once.
            self._received_s = received_s
            self._received = b',"received":' + _encode(received_s)
        copied = b""
        if job.id is not UNSET:
            copied = b',"id":' + job.id
        if job.input_time is not UNSET:
            copied += b',"input_time":' + job.input_time
        if job.correlation is not UNSET:
            copied += b',"correlation":' + job.correlation
        tail = b',"rows":1,"v":1}' if rows == 1 else b',"rows":%d,"v":1}' % rows
        return b"".join(
            (self._head, job.route.topic_json, self._received, times, outputs, copied, tail)
        )

    def result(self, job: Job, times_us: tuple[float, float, float], rows: int) -> InferenceResult:
        """The same as a struct, its outputs left out, for codecs that write them themselves."""
        return InferenceResult(
            module=self._module,
            version=self._version,
            digest=self._digest,
            device=self._device,
            slot=self._slot,
            topic=job.message.topic,
            received=job.message.received_s,
            times_us=StageTimes(*(round(time_us, 1) for time_us in times_us)),
            outputs=Raw(b"null"),
            id=job.id,
            input_time=job.input_time,
            correlation=job.correlation,
            rows=rows,
        )

    def error(self, job: Job, error: ShoalError) -> InferenceError:
        """What is published instead of a result."""
        field: str | UnsetType = error.field if isinstance(error, FieldFault) else UNSET
        return InferenceError(
            module=self._module,
            version=self._version,
            digest=self._digest,
            device=self._device,
            slot=self._slot,
            topic=job.message.topic,
            received=job.message.received_s,
            error=InferenceFault(code=error.code, text=str(error)[:_MAX_TEXT], field=field),
            id=job.id,
            correlation=job.correlation,
        )
