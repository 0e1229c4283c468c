"""Delayed labels: what the right answer to a message was, told when somebody knows it.

Pure. A label names the message by the id that its result has; who keeps results matches the two.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from edge_agent.contract.manifest import Name
from edge_agent.errors import ContractError

MAX_KEY: Final = 200
"""Characters of an id by which results are found."""

MOST_LABELS: Final = 1000
"""In one message or request."""

Truth = bool | int | float | str
"""What an output should have been: a label, or a number."""


class Label(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The truth about one message. One of `value` and `right` is given.

    Attributes:
        slot: that answered it.
        id: of the message, as its result has it; 17 and "17" are the same.
        value: the right answer.
        right: whether the answer was right, where only that is known.
        output: which output `value` is compared with; the first one if empty.
        tolerance: how far a number may be from `value` and still be right.
    """

    slot: Name
    id: int | float | str
    value: Truth | None = None
    right: bool | None = None
    output: Annotated[str, Meta(max_length=255)] = ""
    tolerance: Annotated[float, Meta(ge=0)] = 0.0


class Labels(Struct, frozen=True, kw_only=True):
    """Labels of messages that one device answered."""

    device: Name
    labels: Annotated[tuple[Label, ...], Meta(max_length=MOST_LABELS)]
    v: Literal[1] = 1


def message_key(value: object) -> str:
    """An id as text, the same for 17 and "17".

    Args:
        value: of a message, as decoded from JSON.

    Returns:
        Empty for what is no id: nothing, a list, an object, or one that is too long.
    """
    if value is None or isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_KEY else ""


def check_label(label: Label) -> Label:
    """Return a label that says one thing about one message.

    Raises:
        ContractError: `label_invalid`.
    """
    if (label.value is None) == (label.right is None):
        raise ContractError(
            f"label of message {label.id!r} expected either the right value or whether the answer "
            "was right",
            hint="give one of 'value' and 'right'",
            code="label_invalid",
        )
    if not message_key(label.id):
        raise ContractError(
            f"label expected an id of 1 to {MAX_KEY} characters, found {str(label.id)[:80]!r}",
            hint="give the id that the message and its result have",
            code="label_invalid",
        )
    return label


def is_right(label: Label, outputs: Mapping[str, Raw]) -> bool:
    """Whether an answer was right.

    Args:
        label: the truth.
        outputs: of the result, by name, in their order.

    Returns:
        False also where the output is not there, or is a list of another length than 1.
    """
    if label.right is not None:
        return label.right
    name = label.output or next(iter(outputs), "")
    if name not in outputs:
        return False
    found: object = msgspec.json.decode(outputs[name])
    while isinstance(found, list) and len(found) == 1:
        found = found[0]
    wanted = label.value
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return abs(found - wanted) <= label.tolerance
    # A table of labels knows no types: "3" in it is the label 3.
    return isinstance(found, int | str) and str(found) == str(wanted)
