"""Maintenance windows, over days, weeks and changes of the clocks."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from cloud_sync.errors import InvalidInput
from cloud_sync.rollout.windows import longest_closed_s, opens_at, parse

NIGHTS = ("daily 22:00-04:00 Europe/Oslo",)
WEEKEND = ("sat,sun 01:00-05:00 Europe/Oslo",)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("windows", "now", "expected"),
    [
        ((), "2026-01-07 12:00", None),
        (WEEKEND, "2026-01-10 00:00", None),  # a Saturday, one o'clock in Oslo
        (WEEKEND, "2026-01-10 03:59", None),
        (WEEKEND, "2026-01-10 04:00", "2026-01-11 00:00"),
        (WEEKEND, "2026-01-11 04:00", "2026-01-17 00:00"),
        (NIGHTS, "2026-01-07 02:59", None),  # since yesterday
        (NIGHTS, "2026-01-07 03:00", "2026-01-07 21:00"),
        (NIGHTS, "2026-07-07 02:00", "2026-07-07 20:00"),  # summer time
        (("fri-mon 10:00-11:00 UTC",), "2026-01-06 10:30", "2026-01-09 10:00"),
        (("daily 00:00-00:00 UTC",), "2026-01-06 10:30", None),
        ((*WEEKEND, "daily 10:00-11:00 UTC"), "2026-01-07 12:00", "2026-01-08 10:00"),
        # The clocks go from two to three: no such hour, so the next one; or none that day.
        (("sun 02:10-02:50 Europe/Oslo",), "2026-03-29 00:30", "2026-03-29 01:10"),
        (("sun 02:30-03:00 Europe/Oslo",), "2026-03-29 00:30", "2026-04-05 00:30"),
    ],
)
def test_a_window_is_open_or_says_when_it_will_be(
    windows: tuple[str, ...], now: str, expected: str | None
) -> None:
    opening = opens_at(windows, at(now), ZoneInfo)
    assert opening == (None if expected is None else at(expected))


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    window = ("sun 02:00-03:00 Europe/Oslo",)
    assert opens_at(window, at("2026-10-25 00:30"), ZoneInfo) is None
    assert opens_at(window, at("2026-10-25 01:30"), ZoneInfo) is None
    assert opens_at(window, at("2026-10-25 02:00"), ZoneInfo) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("always", "window expected days, hours and a time zone, found 'always'"),
        # Whose clocks? An hour off is an update in the middle of a shift.
        ("sun 01:00-02:00", "a time zone, found 'sun 01:00-02:00'"),
        ("son 01:00-02:00 UTC", "sun"),
        ("sun 01:00-24:00 UTC", "hours from 00:00 to 23:59"),
        # A moment, or a day and a night?
        ("sun 05:00-05:00 UTC", "expected an end that is not its begin"),
    ],
)
def test_what_is_no_window_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse(text)


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no time zone 'Europe/Olso'"):
        opens_at(("sun 01:00-02:00 Europe/Olso",), at("2026-01-07 12:00"), ZoneInfo)


@pytest.mark.parametrize(
    ("windows", "hours"),
    [
        ((), 0),
        (("daily 01:00-05:00 UTC",), 20 + 1),
        (("daily 22:00-04:00 Europe/Oslo",), 18 + 1),
        (("sat 01:00-05:00 UTC",), 7 * 24 - 4 + 1),
        (("sat,sun 01:00-05:00 UTC",), 6 * 24 - 4 + 1),
        (("mon-fri 20:00-06:00 UTC", "sun 01:00-02:00 UTC"), 3 * 24 - 10 + 1),
        (("daily 00:00-00:00 UTC",), 0 + 1),
    ],
)
def test_how_long_it_is_closed_at_most(windows: tuple[str, ...], hours: float) -> None:
    assert longest_closed_s(windows) == hours * 3_600
