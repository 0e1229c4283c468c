"""Names and digests: what may stand in a topic, a path and a table without being escaped."""

import difflib
import hashlib
import re
from collections.abc import Iterable
from typing import Final

from edge_agent.errors import ContractError

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""One pattern for devices, slots, modules and models: a DNS label, so that it fits everywhere."""

DIGEST_PATTERN: Final = r"^sha256:[0-9a-f]{64}$"

_NAME: Final = re.compile(NAME_PATTERN)
_DIGEST: Final = re.compile(DIGEST_PATTERN)


def check_name(kind: str, value: str) -> str:
    """Return `value` if it is a valid name.

    Args:
        kind: what is named, for the error ("device", "slot").
        value: the name.

    Raises:
        ContractError: the name does not match `NAME_PATTERN`.
    """
    # \Z and not $: a trailing newline is no part of a name.
    if _NAME.match(value) is None or value.endswith("\n"):
        raise ContractError(
            f"{kind} name expected 1-63 characters of a-z, 0-9 and '-', "
            f"beginning with a letter or digit; found {value[:80]!r}",
            hint=f"for example '{kind}-1'",
            code="name_invalid",
        )
    return value


def check_digest(value: str) -> str:
    """Return `value` if it is written `sha256:` and 64 lower-case hex digits.

    Raises:
        ContractError: it is not.
    """
    if _DIGEST.match(value) is None or value.endswith("\n"):
        raise ContractError(
            f"digest expected 'sha256:' and 64 hex digits, found {value[:80]!r}",
            code="digest_invalid",
            hint="copy the digest whole, as `shoal module show` prints it",
        )
    return value


def digest_of(data: bytes) -> str:
    """The digest of `data`: `sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest known word, or lists what is known.

    Args:
        word: what was found.
        known: what would have been right.

    Returns:
        `did you mean 'topic'?`, or `known: a, b, c`; empty if nothing is known.
    """
    names = sorted(known)
    if close := _closest(word, names):
        return close
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"known: {shown}" if names else ""


def choice_hint(word: str, choices: Iterable[str]) -> str:
    """A hint for an error whose text lists all that would have been right.

    Args:
        word: what was found.
        choices: what would have been right.

    Returns:
        `did you mean 'json'?`, or `choose one of these`.
    """
    return _closest(word, sorted(choices)) or "choose one of these"


def _closest(word: str, names: list[str]) -> str:
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else ""
