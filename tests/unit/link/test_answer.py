"""What the cloud's answers mean: only what fits what is here already goes on from there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import Unavailable
from edge_agent.link.answer import (
    BAD_RANGE,
    LONGEST_RETRY_AFTER_S,
    Body,
    TryLater,
    place,
    request_headers,
    retry_after_s,
)

DIGEST = "sha256:" + "a" * 64


def look(status: int, received: int = 0, **headers: str) -> Body:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return place(status, names, url="http://cloud", digest=DIGEST, received=received)


def refusal(status: int, received: int = 0, **headers: str) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        look(status, received, **headers)
    return caught.value


def test_a_whole_file_begins_at_its_first_byte_also_when_the_rest_was_asked_for():
    assert look(200, content_length="7") == Body(0, 7)
    # What a server answers that cannot resume, and one whose file is another one by now.
    assert look(200, 500, content_length="7") == Body(0, 7)
    assert look(200, content_length="-7") == Body(0, None)


def test_the_rest_goes_on_where_it_was_asked_for():
    assert look(206, 500, content_range="bytes 500-999/1000") == Body(500, 1000)
    assert look(206, 500, content_range="bytes 500-999/*") == Body(500, None)
    # Fewer bytes than there are: the next attempt asks for those.
    assert look(206, 500, content_range="bytes 500-599/1000") == Body(500, 1000)


@pytest.mark.parametrize(
    "content_range",
    ["", "bytes 0-999/1000", "bytes 501-999/1000", "bytes 500-499/1000", "items 500-999/1000",
     "bytes 500-/1000", "bytes */1000", f"bytes 500-{'9' * 5000}/1"],
)  # fmt: skip
def test_another_part_than_was_asked_for_drops_what_is_here(content_range: str):
    assert refusal(206, 500, content_range=content_range).code == BAD_RANGE


def test_a_part_that_is_longer_than_the_file_is_dropped():
    assert refusal(416, 500).code == BAD_RANGE


def test_a_part_that_nobody_asked_for_is_refused():
    assert refusal(206, 0, content_range="bytes 0-9/10").code == "cloud_refused"


@given(st.integers(100, 599), st.integers(0, 10**12), st.text(max_size=40), st.text(max_size=40))
def test_no_answer_is_placed_anywhere_but_at_the_start_or_where_it_goes_on(
    status, received, content_range, length
):
    headers = {"content-range": content_range, "content-length": length}
    try:
        body = place(status, headers, url="", digest=DIGEST, received=received)
    except Unavailable:
        return
    assert body.start in (0, received)


def test_a_busy_cloud_says_when_by_its_own_clock():
    busy = refusal(
        503, retry_after="Wed, 21 Oct 2015 07:28:30 GMT", date="Wed, 21 Oct 2015 07:28:00 GMT"
    )
    assert isinstance(busy, TryLater)
    # Whatever year this device believes in.
    assert busy.after_s == 30
    assert retry_after_s("Wed, 21 Oct 2015 07:28:30 GMT", "") == 0
    assert retry_after_s("Wed, 21 Oct 2015 07:28:30 GMT", "Wed, 21 Oct 2015 08:28:00 GMT") == 0


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_makes_a_device_wait_longer_than_an_hour(value, date):
    assert 0 <= retry_after_s(value, date) <= LONGEST_RETRY_AFTER_S


@given(st.integers(0, 10**30))
def test_seconds_are_taken_as_they_are_up_to_an_hour(seconds):
    assert retry_after_s(str(seconds), "") == min(seconds, LONGEST_RETRY_AFTER_S)


def test_the_rest_is_asked_for_only_of_the_same_file():
    assert "range" not in request_headers("http://cloud", DIGEST, 0)
    headers = request_headers("http://cloud", DIGEST, 10)
    assert (headers["range"], headers["if-range"]) == ("bytes=10-", f'"{DIGEST}"')


@pytest.mark.parametrize("host", ["cloud", "cloud:8080", "[::1]", "[::1]:8080", "192.0.2.1:80"])
def test_the_cloud_is_named_as_in_its_address(host: str):
    assert request_headers(f"https://user@{host}/below", DIGEST, 0)["host"] == host
