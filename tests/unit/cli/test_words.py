import pytest

from cloud_sync.cli import words


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (130_400, "130.4 kB"),
        (999_990, "1.0 MB"),
        (2.5e9, "2.5 GB"),
        (7e12, "7.0 TB"),
    ],
)
def test_sizes_are_decimal_and_short(size_bytes: float, text: str) -> None:
    assert words.size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"),
        (0.3, "now"),
        (12.2, "12 s ago"),
        (59.7, "1 min ago"),
        (3 * 60 + 5, "3 min ago"),
        (2 * 3600 + 300, "2 h 5 min ago"),
        (7200, "2 h ago"),
        (4 * 86_400 + 3 * 3600, "4 d 3 h ago"),
        (40 * 86_400 + 3600, "40 d ago"),
    ],
)
def test_ages_have_the_units_that_matter(seconds: float | None, text: str) -> None:
    assert words.age(seconds) == text


def test_a_clock_that_is_behind_the_service_gives_no_negative_age() -> None:
    assert words.since(110.0, now=100.0) == "now"


def test_a_retry_is_in_the_future_or_due() -> None:
    assert words.until(5.0) == "in 5 s"
    assert words.until(0.0) == "due"
    assert words.until(None) == "-"


def test_unknown_figures_are_a_dash_and_never_zero() -> None:
    assert words.rate(None) == words.milliseconds(None) == words.tags({}) == "-"


@pytest.mark.parametrize(
    ("per_s", "text"), [(0, "0/s"), (0.25, "0.2/s"), (9.94, "9.9/s"), (12_345.6, "12,346/s")]
)
def test_rates_lose_the_digits_that_nobody_reads(per_s: float, text: str) -> None:
    assert words.rate(per_s) == text


@pytest.mark.parametrize(("value", "text"), [(0.416, "0.42"), (7.14, "7.1"), (120.4, "120")])
def test_latencies_keep_two_or_three_digits(value: float, text: str) -> None:
    assert words.milliseconds(value) == text


def test_digests_are_cut_and_nothing_else() -> None:
    text = f"a sha256:{'0123456789abcdef' * 4}, b"
    assert words.short(text) == "a sha256:0123456789ab, b"


def test_one_is_singular() -> None:
    assert (words.plural(1, "file"), words.plural(2000, "file")) == ("1 file", "2,000 files")
