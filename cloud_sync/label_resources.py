"""The HTTP API's resources of delayed labels.

Shared by `telemetry`, `api` and `client`, as `cloud_sync.resources` is. Times are seconds since
1970.
"""

from typing import Annotated

from msgspec import Meta, Struct

from edge_agent.contract.labels import MOST_LABELS, Label
from edge_agent.contract.manifest import Name


class DeviceLabel(Label, frozen=True, kw_only=True, omit_defaults=True):
    """A label, and the device that answered the message."""

    device: Name


class GivenLabels(Struct, frozen=True, kw_only=True):
    """Labels of messages of any devices."""

    labels: Annotated[tuple[DeviceLabel, ...], Meta(max_length=MOST_LABELS)]


class LabelsTaken(Struct, frozen=True, kw_only=True):
    """What became of labels.

    Attributes:
        labels: that were taken; of two for one message the last one.
        right: of these, those whose answer is here and was right.
        wrong: likewise, was wrong.
        waiting: those whose answer is not here, or not yet.
        strange: `device/slot` that were named, of slots that the device neither should run nor has
            ever run: a wrong name, if they are not to come; the first few.
    """

    labels: int = 0
    right: int = 0
    wrong: int = 0
    waiting: int = 0
    strange: tuple[str, ...] = ()


class StoredLabel(Struct, frozen=True, kw_only=True):
    """A label as it is kept.

    Attributes:
        id: of the label.
        message: id of the message, as text.
        label: what was told.
        received: when, for the last time.
        digest: of the module that answered; empty while the answer is not here.
        is_right: whether it was right; None while the answer is not here.
    """

    id: int
    device: Name
    slot: Name
    message: str
    label: Label
    received: float
    digest: str = ""
    is_right: bool | None = None
