import gzip
import zlib

import pytest

from edge_agent.daemon.http.packing import unpacked
from edge_agent.daemon.http.request import Refused

BODY = b'{"inputs": []}' * 100
# Without the time: what a test is called must not hang on when it was collected.
PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (BODY, ""),
        (BODY, "identity"),
        (PACKED, "gzip"),
        (PACKED, " GZIP "),
        (zlib.compress(BODY), "deflate"),
    ],
)
def test_a_packed_body_is_what_it_was(packed: bytes, encoding: str) -> None:
    assert unpacked(packed, encoding, 10_000) == BODY


def test_an_unknown_encoding_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(Refused, match="gzip, deflate or none, found 'br'") as refused:
        unpacked(BODY, "br", 10_000)
    assert refused.value.status == 415


@pytest.mark.parametrize("packed", [BODY, PACKED[:-9], PACKED + b"more"])
def test_what_is_not_packed_as_it_says_is_refused(packed: bytes) -> None:
    with pytest.raises(Refused) as refused:
        unpacked(packed, "gzip", 10_000)
    assert refused.value.status == 400


def test_a_bomb_is_unpacked_no_further_than_the_bound() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(Refused, match="at most 1000 bytes") as refused:
        unpacked(bomb, "gzip", 1000)
    assert refused.value.status == 413
