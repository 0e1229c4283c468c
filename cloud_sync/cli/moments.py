"""Times as people type them: `30m`, `24h`. Pure."""

import re
from typing import Final

from cloud_sync.errors import InvalidInput

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([a-z]{0,3})", re.ASCII)


def seconds(text: str, option: str) -> float:
    """A duration in seconds: `90`, `90s`, `30m`, `24h`, `30d`.

    Args:
        text: as typed.
        option: for the error, `--soak`.

    Raises:
        InvalidInput: it is none.
    """
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise InvalidInput(
            f"{option} expected a duration, found {text!r}",
            hint="seconds, or a number with s, m, h or d behind it: 90, 30m, 24h, 30d",
            code="duration_invalid",
        )
    return float(found[1]) * _UNITS[found[2]]
