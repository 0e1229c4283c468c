"""An outbox and its cloud, for tests of what is kept until it is acknowledged."""

import sqlite3
from pathlib import Path

from edge_agent.contract.messages import Ack
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OUTBOX_FILE
from edge_agent.store.outbox_policy import Priority
from edge_agent.store.outbox_row import Kind, OutboxItem, OutboxRow

MB = 2**20


def item(text: str = "x", priority: Priority = Priority.RESULT, kind: Kind = "event") -> OutboxItem:
    return OutboxItem(kind=kind, time=1.0, data=text.encode(), slot="m", priority=priority)


def report(text: str = "state") -> OutboxItem:
    return item(text, Priority.CONTROL, "reported")


def ack(boot_id: str, *seqs: int, answers: str = "") -> Ack:
    return Ack(boot_id=boot_id, seqs=seqs, answers=answers)


def opened(folder: Path, boot_id: str) -> Outbox:
    outbox = Outbox(folder, boot_id)
    outbox.open()
    return outbox


def connect(outbox: Outbox, now: float = 0.0, has: tuple[int, ...] = ()) -> None:
    """Connect to a cloud that has some rows of this boot."""
    outbox.connected()
    question = outbox.question(now)
    assert question is not None
    outbox.acknowledge(ack(question.boot_id, *has, answers=question.id))


def rows(outbox: Outbox, now: float = 0.0, limit: int = 100) -> list[OutboxRow]:
    return outbox.due(now, limit=limit, max_bytes=10_000)


def due(outbox: Outbox, now: float = 0.0, limit: int = 100) -> list[int]:
    return [row.seq for row in rows(outbox, now, limit)]


def texts(outbox: Outbox, now: float = 0.0) -> list[str]:
    return [row.data.decode() for row in rows(outbox, now)]


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"{OUTBOX_FILE}*"))


def flushed(folder: Path) -> int:
    """Up to which row everything was flushed by the clock."""
    connection = sqlite3.connect(folder / OUTBOX_FILE)
    found = connection.execute("SELECT coalesce(max(id), 0) FROM flushed").fetchone()
    connection.close()
    return int(found[0])
