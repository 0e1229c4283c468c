"""Too many downloads at once are turned away, told when to come again, and cost nothing."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient

from cloud_sync.api.crowd import LONGEST_S, Crowd, DownloadGate, retry_after_s
from cloud_sync.api.site import build
from edge_agent.contract.names import digest_of
from tests.support.cloud import Cloud
from tests.support.service import CloudService
from tests.support.waiting import wait_for


@given(st.floats(0, 1e9), st.integers(1, 10_000), st.floats(0, 1e6), st.floats(0, 1))
def test_nobody_is_told_to_wait_for_less_than_a_second_or_much_more_than_a_minute(
    turned_away, places, served_s, chance
):
    found = retry_after_s(turned_away, places, served_s, chance)
    assert 1 <= found <= LONGEST_S + 1


@given(st.integers(0, 1000), st.integers(1, 100), st.floats(0, 1))
def test_the_more_are_turned_away_the_longer_they_are_spread(turned_away, places, chance):
    few = retry_after_s(turned_away, places, 2.0, chance)
    assert retry_after_s(turned_away * 2, places, 2.0, chance) >= few


def test_a_thousand_who_are_turned_away_are_told_many_different_moments():
    draws = iter(index / 1000 for index in range(1000))
    crowd = Crowd(10, now=lambda: 0.0, chance=lambda: next(draws))
    told = [crowd.turn_away() for _ in range(1000)]
    busiest = max(told.count(moment) for moment in set(told))
    assert busiest <= 100


def test_who_was_turned_away_long_ago_is_forgotten():
    times = iter([0.0, *([0.0] * 1000), 1000.0])
    crowd = Crowd(1, now=lambda: next(times), chance=lambda: 1.0)
    for _ in range(1000):
        last = crowd.turn_away()
    assert last > 10
    assert crowd.turn_away() <= 3


def request(path: str = "/v1/blobs/x", method: str = "GET") -> Any:
    return {"type": "http", "method": method, "path": path}


async def told(gate: DownloadGate, scope: Any) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await gate(scope, None, send)  # type: ignore[arg-type]  # nothing is received
    return sent


def test_a_place_is_taken_for_as_long_as_the_file_is_sent_and_given_back_whatever_happens():
    async def story() -> None:
        may_end = asyncio.Event()

        async def app(scope: Any, _receive: Any, send: Any) -> None:
            if scope["method"] == "GET" and scope["path"].startswith("/v1/blobs/"):
                await may_end.wait()
                raise ConnectionResetError
            await send("other")

        crowd = Crowd(1)
        gate = DownloadGate(app, crowd)
        first = asyncio.create_task(told(gate, request()))
        await asyncio.sleep(0)
        assert crowd.busy == 1
        start, body = await told(gate, request())
        assert start["status"] == 503
        headers = dict(start["headers"])
        assert int(headers[b"retry-after"]) >= 1
        assert b"server_busy" in body["body"]
        # Only downloads of files are counted.
        assert await told(gate, request("/v1/devices")) == ["other"]
        assert await told(gate, request(method="PUT")) == ["other"]
        may_end.set()
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], OSError)
        assert crowd.busy == 0

    asyncio.run(story())


def test_the_api_sends_files_through_the_gate(parts_of_cloud: Cloud):
    digest = parts_of_cloud.store(b"file").digest
    with TestClient(build(parts_of_cloud.parts, "0")) as client:
        assert [client.get(f"/v1/blobs/{digest}").status_code for _ in range(200)] == [200] * 200


def test_a_client_that_hangs_up_in_the_middle_leaves_its_place(tmp_path: Path):
    data = bytes(32 * 2**20)
    environment = {"CLOUD_SYNC_HTTP_MAX_DOWNLOADS": "1"}
    service = CloudService(tmp_path / "cloud", environment=environment).start()
    try:
        url = f"{service.url}/v1/blobs/{digest_of(data)}"
        httpx.put(url, content=data, timeout=60)
        with httpx.stream("GET", url, timeout=60) as first:
            assert first.status_code == 200
            # More than the buffers on the way hold, and nobody reads.
            busy = httpx.get(url, timeout=60)
            assert busy.status_code == 503
            assert busy.json()["code"] == "server_busy"
            assert int(busy.headers["retry-after"]) >= 1

        def is_served() -> bool:
            with httpx.stream("GET", url, timeout=60) as response:
                return response.status_code == 200

        wait_for(is_served, 30)
    finally:
        service.stop()
