"""What a person at the device is told to do."""

import pytest

from edge_agent.contract.messages import SlotHealth
from edge_agent.contract.state import Phase, ReportedSlot
from edge_agent.daemon.status import AgentStatus, LinkStatus, SlotStatus, explain


def advice(worker: SlotHealth) -> str:
    state = ReportedSlot(module="m", phase=Phase.ACTIVE)
    status = AgentStatus(
        device="line-1",
        boot_id="b",
        version="1",
        pid=1,
        time=1.0,
        uptime_s=1.0,
        cloud=LinkStatus(url="", broker="", is_connected=True),
        revision_seen=1,
        revision_applied=1,
        slots={"m": SlotStatus(state=state, worker=worker, is_busy=False)},
        outbox_rows=0,
        outbox_dropped=0,
        disk_free_mb=1.0,
        clock_synced=True,
    )
    return explain("m", status).advice


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"state": "running"}, ["nothing to do"]),
        (
            {"state": "running", "connected": False, "error": "refused"},
            ["data broker is away: refused", "data.broker"],
        ),
        (
            {"state": "crashed", "connected": False, "error": "crashed: by SIGSEGV"},
            ["process ended (crashed: by SIGSEGV)"],
        ),
    ],
)
def test_advice_names_what_ails_the_worker(options, expected):
    found = advice(SlotHealth(module="m", version=1, digest="", **options))
    assert [part for part in expected if part not in found] == []
