"""Maintenance windows: when devices may be offered something. Pure: time zones are handed in.

`sat,sun 01:00-05:00 Europe/Oslo`: on these days, from then until then, by the clocks of that place.
A window that ends before it begins goes on into the next day; `00:00-00:00` is the whole day.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from msgspec import Struct

from cloud_sync.errors import InvalidInput
from edge_agent.contract.names import did_you_mean

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EXAMPLE: Final = "sat,sun 01:00-05:00 Europe/Oslo"
_WINDOW: Final = re.compile(
    r"(?P<days>[a-z,-]+) +(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d) +(?P<zone>[A-Za-z0-9_+/-]+)"
)
_MOST_DAYS_OFF: Final = 8
"""A week, and the day whose window a change of the clocks has swallowed."""

_DAY_S: Final = 86_400
_CLOCKS_MOVE_S: Final = 3_600.0

ZoneOf = Callable[[str], tzinfo]
"""Finds a time zone by its IANA name; raises KeyError (as zoneinfo does) for one unknown."""


class Window(Struct, frozen=True, kw_only=True):
    """One window.

    Attributes:
        days: on which it begins, 0 = Monday.
        begin, end: by the clocks of its zone.
        zone: its IANA name.
    """

    days: frozenset[int]
    begin: time
    end: time
    zone: str


def parse(text: str) -> Window:
    """Read a window.

    Args:
        text: days (`daily`, `sat,sun` or `mon-fri`), from-until, and a time zone.

    Raises:
        InvalidInput: it is no window.
    """
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise _invalid(text, "days, hours and a time zone")
    begin, end = (_hour(text, found[name]) for name in ("begin", "end"))
    if begin == end != time():  # a moment, or 24 hours?
        raise _invalid(text, "an end that is not its begin (00:00-00:00 for the whole day)")
    return Window(days=_days(text, found["days"]), begin=begin, end=end, zone=found["zone"])


def opens_at(windows: Sequence[str], now: float, zone_of: ZoneOf) -> float | None:
    """When the next window begins.

    Args:
        windows: as in a policy; without any, it is always open.
        now: seconds since 1970.
        zone_of: finds time zones.

    Returns:
        Seconds since 1970; None if one is open now.

    Raises:
        InvalidInput: one of them is no window, or has an unknown time zone.
    """
    moment = datetime.fromtimestamp(now, UTC)
    begins = []
    for text in windows:
        for begin, end in _spans(text, moment, zone_of):
            if begin <= moment < end:
                return None
            if begin > moment:
                begins.append(begin.timestamp())
    return min(begins, default=None)


def longest_closed_s(windows: Sequence[str]) -> float:
    """How long no window is open at a stretch, at most.

    Args:
        windows: as in a policy.

    Returns:
        Seconds; 0 without any window. An hour more than the clocks of a place say, as they may be
        set by one meanwhile.

    Raises:
        InvalidInput: one of them is no window.
    """
    if not windows:
        return 0.0
    # Each may be in a zone of its own, so the best that can be said is that of the best of them.
    return min(_closed_s(parse(text)) for text in windows) + _CLOCKS_MOVE_S


def _closed_s(window: Window) -> float:
    begin, end = (moment.hour * 3_600 + moment.minute * 60 for moment in (window.begin, window.end))
    open_s = end - begin if begin < end else end - begin + _DAY_S
    days = sorted(window.days)
    following = [*days[1:], days[0] + len(DAYS)]
    apart = max(after - before for before, after in zip(days, following, strict=True))
    return max(0.0, apart * _DAY_S - open_s)


def _spans(text: str, moment: datetime, zone_of: ZoneOf) -> Iterator[tuple[datetime, datetime]]:
    """When a window is open from yesterday on, for as long as it takes to be open once."""
    window = parse(text)
    try:
        zone = zone_of(window.zone)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidInput(
            f"window {text!r}: no time zone {window.zone!r} is known here",
            hint=f"an IANA name, as in `{_EXAMPLE}`",
            code="window_invalid",
        ) from error
    today = moment.astimezone(zone).date()
    for offset in range(-1, _MOST_DAYS_OFF + 1):
        day = today + timedelta(days=offset)
        if day.weekday() not in window.days:
            continue
        last = day if window.begin < window.end else day + timedelta(days=1)
        begin, end = (
            _moment(day, window.begin, zone),
            _moment(last, window.end, zone),
        )
        if begin < end:  # else the clocks went forward over all of it
            yield begin, end


def _moment(day: date, hour: time, zone: tzinfo) -> datetime:
    # In UTC: comparing moments of one zone would compare what its clocks say, and one hour comes
    # twice when they go back.
    return datetime.combine(day, hour, zone).astimezone(UTC)


def _days(text: str, names: str) -> frozenset[int]:
    if names == "daily":
        return frozenset(range(len(DAYS)))
    days: set[int] = set()
    for part in names.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(text, first), _day(text, last or first)
        days |= {day % len(DAYS) for day in range(begin, end + 1 + len(DAYS) * (end < begin))}
    return frozenset(days)


def _day(text: str, name: str) -> int:
    if name not in DAYS:
        raise _invalid(text, did_you_mean(name, DAYS) or f"days as in {', '.join(DAYS)}")
    return DAYS.index(name)


def _hour(text: str, hour: str) -> time:
    try:
        return time.fromisoformat(hour)
    except ValueError as error:
        raise _invalid(text, "hours from 00:00 to 23:59") from error


def _invalid(text: str, expected: str) -> InvalidInput:
    return InvalidInput(
        f"window expected {expected}, found {text!r}",
        hint=f"as in `{_EXAMPLE}`",
        code="window_invalid",
    )
