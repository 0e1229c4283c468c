"""How evenly a device downloads, and how evenly a fleet asks.

`python -m benchmarks.network`: real downloads under `[cloud] max_download_kb_s`, seen from the
server; and a thousand devices that draw their moments, many times over.
"""

import random
import socket
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.report import Figure, finish, say
from cloud_sync.fleet.spread import STARTS_PER_S, spread_s
from edge_agent.contract.names import digest_of
from edge_agent.link.download import Downloader, Wanted
from edge_agent.link.reconnect import reconnect_delay_s
from edge_agent.reconcile.retry import first_delay_s
from edge_agent.store.blobs import BlobStore
from tests.support.misbehaving_http import MisbehavingServer, head
from tests.support.real_clock import RealClock

RATE_KB_S: Final = 512
FILE_BYTES: Final = 3 * 2**20
PIECE_BYTES: Final = 4096
FILLING_S: Final = 1.0
"""The buffers on the way fill at first."""
FLEET: Final = 1000
DRAWS: Final = 200


def busiest_second(moments: Sequence[float], sizes: Sequence[float] | None = None) -> float:
    """Most that falls into any one second, wherever it begins."""
    order = sorted(range(len(moments)), key=moments.__getitem__)
    times = [moments[index] for index in order]
    sums = [0.0]
    for index in order:
        sums.append(sums[-1] + (sizes[index] if sizes is not None else 1.0))
    return max(sums[bisect_left(times, start + 1.0)] - sums[at] for at, start in enumerate(times))


def download(downloads: int) -> dict[str, Figure]:
    """So many downloads at a time, together `FILE_BYTES`."""
    size = FILE_BYTES // downloads
    files = [bytes([index]) * size for index in range(downloads)]
    by_digest = {digest_of(data): data for data in files}
    moments: list[float] = []

    def serve(headers: dict[str, str], client: socket.socket) -> None:
        data = by_digest[headers[""].rpartition("/")[2]]
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES)
        client.sendall(head("200 OK", Content_Length=len(data)))
        for start in range(0, len(data), PIECE_BYTES):
            client.sendall(data[start : start + PIECE_BYTES])
            moments.append(time.monotonic())

    server = MisbehavingServer(serve)
    with tempfile.TemporaryDirectory() as folder:
        downloader = Downloader(server.url, clock=RealClock(), bytes_per_s=RATE_KB_S * 1024)
        blobs = BlobStore(Path(folder))
        began = time.monotonic()

        def fetch(digest: str) -> None:
            wanted = Wanted(digest=digest, limit=size, size=size)
            downloader.fetch(blobs, wanted, deadline=time.monotonic() + 300)

        threads = [threading.Thread(target=fetch, args=(digest,)) for digest in by_digest]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed_s = time.monotonic() - began
    server.close()
    steady = [moment for moment in moments if moment > began + FILLING_S]
    most_kb = busiest_second(steady, [PIECE_BYTES / 1024] * len(steady))
    return {
        f"kb_per_s_of_{downloads}": round(downloads * size / 1024 / elapsed_s, 1),
        f"busiest_second_kb_of_{downloads}": round(most_kb, 1),
    }


def fleet() -> dict[str, Figure]:
    """The busiest second of a thousand devices, in the worst of many draws."""
    window = spread_s(FLEET, STARTS_PER_S)
    draws = [random.Random(seed) for seed in range(DRAWS)]
    starts = [[first_delay_s(window, draw.random()) for _ in range(FLEET)] for draw in draws]
    returns = [
        [reconnect_delay_s(1, draw.random(), spread_s=window, was_ready=True) for _ in range(FLEET)]
        for draw in draws
    ]
    return {
        "fleet_devices": FLEET,
        "fleet_window_s": window,
        "fleet_busiest_second_fetches": max(map(busiest_second, starts)),
        "fleet_busiest_second_reconnects": max(map(busiest_second, returns)),
    }


def main() -> None:
    figures: dict[str, Figure] = {"asked_kb_per_s": RATE_KB_S}
    for downloads in (1, 3):
        say(f"{downloads} downloads at a time")
        figures |= download(downloads)
    figures |= fleet()
    finish("network", figures, ["httpcore"])


if __name__ == "__main__":
    main()
