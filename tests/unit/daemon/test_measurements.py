"""The file of measurements: kept over restarts, bounded, and never in the way."""

from pathlib import Path

from edge_agent.daemon.measurements import FILE, MAX_ENTRIES, Measurements
from edge_agent.runtime.protocol import Measured


def test_a_measurement_is_there_after_a_restart(tmp_path: Path) -> None:
    one = Measured(threads=2, run_us=900.0, batch_rows=32, batch_gain=1.4)
    Measurements(tmp_path).put("a", one)
    again = Measurements(tmp_path)
    assert again.get("a") == one
    assert again.get("b") is None


def test_the_oldest_give_way(tmp_path: Path) -> None:
    kept = Measurements(tmp_path)
    for number in range(MAX_ENTRIES):
        kept.put(str(number), Measured())
    kept.put("0", Measured(threads=3))
    kept.put("new", Measured())
    again = Measurements(tmp_path)
    assert again.get("0") == Measured(threads=3)
    assert again.get("new") == Measured()
    assert again.get("1") is None
    assert again.get("2") == Measured()


def test_a_damaged_file_is_forgotten(tmp_path: Path) -> None:
    for text in (
        b"",
        b"{",
        b'{"v": 2, "entries": {}}',
        b'{"v": 1, "entries": {"a": {"threads": 0}}}',
    ):
        (tmp_path / FILE).write_bytes(text)
        kept = Measurements(tmp_path)
        assert kept.get("a") is None
        kept.put("b", Measured())
        assert Measurements(tmp_path).get("b") == Measured()


def test_without_a_disk_it_is_kept_until_the_agent_ends(tmp_path: Path) -> None:
    kept = Measurements(tmp_path / "gone")
    kept.put("a", Measured(threads=4))
    assert kept.get("a") == Measured(threads=4)
