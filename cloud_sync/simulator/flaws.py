"""A version's flaws as a person writes them: `shuttle/3 wrong=0.3 late=0.1`. Pure."""

import msgspec

from cloud_sync.errors import InvalidInput
from cloud_sync.simulator.behaviour import Flaw
from edge_agent.contract.misfit import in_words
from edge_agent.contract.names import did_you_mean

_KINDS = tuple(name for name in Flaw.__struct_fields__ if name != "of")


def parse_flaw(text: str) -> Flaw:
    """Read a flaw.

    Raises:
        InvalidInput: not `MODULE/VERSION KIND=NUMBER ...`, or a number that cannot be.
    """
    version, *parts = text.split() or [""]
    if "/" not in version or not parts:
        raise _refused(text, "for example 'shuttle/3 wrong=0.3'")
    values: dict[str, float] = {}
    for part in parts:
        kind, equals, number = part.partition("=")
        if kind not in _KINDS:
            raise _refused(text, did_you_mean(kind, _KINDS))
        try:
            values[kind] = float(number)
        except ValueError:
            raise _refused(text, f"{kind} expected a number, found {number!r}") from None
        if not equals:
            raise _refused(text, f"write {kind}=0.1")
    try:
        return msgspec.convert({"of": version, **values}, Flaw)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise _refused(text, f"{place.rstrip('`')} {in_words(message)}") from error


def _refused(text: str, hint: str) -> InvalidInput:
    return InvalidInput(
        f"a flaw expected MODULE/VERSION KIND=NUMBER ..., found {text!r}",
        code="flaw_invalid",
        hint=hint,
    )
