"""Numbers as people read them: sizes, ages, durations, rates. Pure: the clock is passed in."""

import re
from datetime import UTC, datetime
from typing import Final

NOTHING: Final = "-"
"""What stands where there is no value: an empty cell could be a mistake."""

_DIGEST: Final = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")


def size(size_bytes: float) -> str:
    """Bytes in decimal units: `1.2 MB`."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size_bytes /= 1000
        if size_bytes < 999.95:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1000:.1f} TB"


def duration(seconds: float) -> str:
    """The one or two units that matter: `0.4 s`, `12 s`, `3 min`, `2 h 5 min`, `4 d 3 h`."""
    if seconds < 0.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{days} d" + (f" {hours % 24} h" if hours % 24 and days < 10 else "")


def age(seconds: float | None) -> str:
    """How long ago: `12 s ago`, `now`, or `never`."""
    if seconds is None:
        return "never"
    return "now" if seconds < 1 else f"{duration(seconds)} ago"


def since(moment: float | None, now: float) -> str:
    """Age of a moment; both in seconds since 1970."""
    return age(None if moment is None else max(0.0, now - moment))


def until(seconds: float | None) -> str:
    """How long it is until something: `in 5 s`, or `due`; a dash for None."""
    if seconds is None:
        return NOTHING
    return f"in {duration(seconds)}" if seconds > 0 else "due"


def clock(moment: float) -> str:
    """A moment on this machine's clock, to the second: `2026-03-01 17:04:09`."""
    return datetime.fromtimestamp(moment, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def count(number: int) -> str:
    """Digits in groups of three: `12,345`."""
    return f"{number:,}"


def rate(per_s: float | None) -> str:
    """Something per second: `120/s`, `0.5/s`."""
    if per_s is None:
        return NOTHING
    return f"{per_s:,.0f}/s" if per_s >= 10 or per_s == 0 else f"{per_s:.1f}/s"


def milliseconds(value: float | None) -> str:
    """A latency in milliseconds, two to three digits: `0.42`, `7.1`, `120`."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def tags(pairs: dict[str, str]) -> str:
    """`key=value` pairs in one cell."""
    return ", ".join(f"{key}={value}" for key, value in sorted(pairs.items())) or NOTHING


def short(text: str) -> str:
    """Text with its digests cut to the first digits, for tables in which nobody copies them."""
    return _DIGEST.sub(r"\1", text)


def plural(number: int, noun: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def spaced(name: str) -> str:
    """A name of the program as people write it: `rolled back`."""
    return name.replace("_", " ")


def percent(share: float) -> str:
    """A part of one, in the digits that say something: `31 %`, `3.1 %`, `0.04 %`."""
    value = share * 100
    if 0 < value < 0.1:
        return f"{value:.2g} %" if value >= 0.001 else "< 0.001 %"
    # Only all is 100 %.
    exact = min(value, 99.9) if value < 100 else value
    digits = 1 if exact < 10 or 99 < exact < 100 else 0
    return f"{exact:.{digits}f}".removesuffix(".0") + " %"
