"""The agent's uplink as a process of its own that sends numbered results, and can be killed.

    python -m tests.support.numbered_uplink FOLDER BROKER_URL DEVICE COUNT PER_SECOND

It notes which numbers the outbox has taken, so that the next run goes on after them: what is only
in memory when it is killed was never taken, and comes again from here.
"""

import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.contract.messages import Ack, Health, Status
from edge_agent.contract.state import AgentInfo, ReportedState
from edge_agent.contract.topics import Channel, control, down_filters, parse
from edge_agent.contract.wire import decode, encode
from edge_agent.daemon.uplink import Uplink
from edge_agent.link.broker import BrokerLink
from edge_agent.link.session import CloudSession, SessionEvents, Will
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_policy import OutboxLimits
from edge_agent.store.outbox_row import OutboxItem
from tests.support.real_clock import RealClock

NOTES = "taken.txt"
LOG = "uplink.log"
SLOT = "numbers"


class NotedOutbox(Outbox):
    """Notes the numbers that it is about to take, and that it has taken them."""

    def __init__(self, folder: Path, boot_id: str, limits: OutboxLimits) -> None:
        self._notes = os.open(folder / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        super().__init__(folder, boot_id, limits)

    def put(self, items: Sequence[OutboxItem], now: float) -> list[int]:
        numbers = [int(item.data) for item in items if item.kind == "result"]
        if not numbers:
            return super().put(items, now)
        os.write(self._notes, f"begin {numbers[0]} {numbers[-1]}\n".encode())
        found = super().put(items, now)
        os.write(self._notes, f"taken {numbers[-1]}\n".encode())
        return found


def next_number(folder: Path) -> int:
    """The first number that the outbox has not taken."""
    notes = (folder / NOTES).read_text().split("\n") if (folder / NOTES).exists() else []
    lines = [line.split() for line in notes if line]
    if not lines:
        return 0
    if lines[-1][0] == "taken":
        return int(lines[-1][1]) + 1
    # Killed in the midst of it: all of it was taken, or none. It was not sent yet.
    first, last = int(lines[-1][1]), int(lines[-1][2])
    connection = sqlite3.connect(folder / OUTBOX_FILE)
    try:
        query = "SELECT count(*) FROM rows WHERE kind = 'result' AND data = ?"
        (found,) = connection.execute(query, (str(last).encode(),)).fetchone()
    finally:
        connection.close()
    return last + 1 if found else first


def run(folder: Path, broker_url: str, device: str, count: int, per_second: float) -> None:
    """Send until all numbers are taken and acknowledged."""
    first = next_number(folder)
    boot_id, clock, started = uuid.uuid4().hex, RealClock(), time.time()
    outbox = NotedOutbox(folder, boot_id, OutboxLimits())

    def status(state: str) -> bytes:
        return encode(
            Status(
                device=device,
                state=state,  # type: ignore[arg-type]  # one of the two
                boot_id=boot_id,
                started=started,
                time=time.time(),
            )
        )

    def connected(_session_present: bool) -> None:
        session.publish(control(device, Channel.STATUS), status("online"), retain=True)
        uplink.reconnected()

    def arrived(topic: str, payload: bytes) -> None:
        if parse(topic).channel is Channel.ACK:
            uplink.acknowledged(decode(Ack, payload))

    session = CloudSession(
        BrokerLink(url=broker_url),
        device,
        filters=down_filters(device),
        make_will=lambda: Will(topic=control(device, Channel.STATUS), payload=status("offline")),
        clock=clock,
        events=SessionEvents(
            on_connected=connected, on_disconnected=lambda _reason: None, on_message=arrived
        ),
    )
    uplink = Uplink(
        device,
        outbox=outbox,
        session=session,
        clock=clock,
        make_report=lambda seq: ReportedState(
            device=device,
            boot_id=boot_id,
            seq=seq,
            time=time.time(),
            revision_seen=0,
            revision_applied=0,
            agent=AgentInfo(version="0"),
        ),
        make_health=lambda every: Health(
            device=device, boot_id=boot_id, time=time.time(), uptime_s=0.0, interval_s=every
        ),
        interval_s=60.0,
    )
    uplink.start()
    session.start()
    pause = threading.Event()
    for number in range(first, count):
        uplink.result(SLOT, str(number).encode())
        pause.wait(1 / per_second)
    while next_number(folder) < count or outbox.size.rows:
        pause.wait(0.1)
    uplink.stop()
    session.stop()
    outbox.close()


@dataclass
class NumberedUplink:
    """The process, and what it has said."""

    folder: Path
    broker_url: str
    device: str
    count: int
    per_second: float
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.numbered_uplink"),
                    *(str(self.folder), self.broker_url, self.device),
                    *(str(self.count), str(self.per_second)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def is_done(self) -> bool:
        """Whether everything was taken and acknowledged."""
        assert self.process is not None
        status = self.process.poll()
        assert status in (None, 0), self.log()
        return status == 0

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait(10)

    def log(self) -> str:
        return (self.folder / LOG).read_text(errors="replace")

    def sendings(self) -> Counter[tuple[str, str]]:
        """How often each row was handed to the connection, by boot id and number."""
        found: Counter[tuple[str, str]] = Counter()
        for line in self.log().splitlines():
            if "event=rows_sent" in line and "seqs=" in line:
                fields = dict(part.split("=", 1) for part in line.split() if "=" in part)
                found.update((fields["boot_id"], seq) for seq in fields["seqs"].split(",") if seq)
        return found


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(message)s", stream=sys.stderr)
    run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
