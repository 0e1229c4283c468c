"""Which outputs of a model are clearly states that it wants back. Pure: signatures in, names out.

Shapes alone do not tell: a filter's output looks like its input, and a forecast of X looks like X.
So a pair must look alike *and* be named as one thing before and after a step.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from edge_agent.contract.signature import TensorSpec

_BEFORE: Final = frozenset({"in", "input", "prev", "previous", "past", "old", "last", "init", "0"})
_AFTER: Final = frozenset({"out", "output", "next", "new", "present", "updated", "final", "n", "1"})
_STATES: Final = frozenset({"h", "c", "s", "state", "states", "hidden", "cell", "carry", "memory"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SHORT: Final = re.compile(r"[hcs][nx]")
"""`hn`, `cx`: a state's letter with a mark behind it."""


def clear_states(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Mapping[str, str]:
    """Inputs that are states, to the output that each is fed from.

    None if nothing would be left for a message to fill, and none where two outputs would do.

    Args:
        inputs: of the model.
        outputs: of the model that can be computed.
    """
    found: dict[str, str] = {}
    for spec in inputs:
        alike = [
            other.name
            for other in outputs
            if (other.dtype, other.shape) == (spec.dtype, spec.shape)
            and _is_next(spec.name, other.name)
        ]
        if len(alike) == 1:
            found[spec.name] = alike[0]
    is_one_to_one = len(set(found.values())) == len(found)
    return found if is_one_to_one and len(found) < len(inputs) else {}


def _is_next(before: str, after: str) -> bool:
    """Whether two names are one thing before and after a step."""
    first, second = _words(before), _words(after)
    stem = [word for word in first if word not in _BEFORE]
    if not stem or stem != [word for word in second if word not in _AFTER]:
        return False
    is_marked = len(second) > len(stem)
    return is_marked and (len(first) > len(stem) or not _STATES.isdisjoint(stem))


def _words(name: str) -> list[str]:
    words = (word.lower() for word in _WORD.findall(name))
    return [part for word in words for part in (word if _SHORT.fullmatch(word) else (word,))]
