"""The library in front of libc: it sees what it should, does what it is told, and nothing else."""

import subprocess
import sys
import textwrap
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.faults.preload import build, environment

pytestmark = pytest.mark.needs("cc")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("library"))


def run(library: Path, state: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has the library as `faults`, its folder as `state` and `Action`."""
    head = f"""
    import errno, os, sqlite3
    from pathlib import Path
    from tests.faults.preload import Action, Preload
    state = Path({str(state)!r})
    faults = Preload(Path({str(library)!r}))
    faults.watch(state)
    seen = []
    faults.observe(lambda call, path, number: seen.append((call, path)), is_for_all=True)
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)],
        env=environment(library),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def succeed(library: Path, state: Path, script: str) -> None:
    done = run(library, state, script)
    assert done.returncode == 0, done.stderr


def test_calls_below_the_folder_are_seen_and_others_are_not(library: Path, tmp_path: Path) -> None:
    succeed(
        library,
        tmp_path / "state",
        """
        faults.arm(Action.NOTHING, 0)
        state.mkdir()
        (state / "a").write_bytes(b"12")
        (state.parent / "statement").write_bytes(b"elsewhere")
        (state / "a").read_bytes()
        handle = os.dup(os.open(state / "a", os.O_WRONLY))
        os.pwrite(handle, b"3", 2)
        os.fsync(handle)
        os.ftruncate(handle, 1)
        os.chdir(state)
        os.rename("a", "b")
        os.unlink("b")
        with faults.aside():
            (state / "c").write_bytes(b"unseen")
        expected = ["mkdir .", "open a", "write a", "pwrite a", "fsync a", "ftruncate a"]
        expected += ["rename b", "unlink b"]
        assert [" ".join(one) for one in seen] == expected, seen
        assert faults.count == len(expected)
        """,
    )


def test_the_calls_of_sqlite_are_seen(library: Path, tmp_path: Path) -> None:
    succeed(
        library,
        tmp_path,
        """
        connection = sqlite3.connect(state / "x.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.close()  # before the interpreter goes, and what it would tell with it
        calls = {call for call, path in seen if path == "x.db-wal"}
        assert {"open", "pwrite"} <= calls, seen
        assert {"fsync", "fdatasync"} & calls, seen
        """,
    )


def test_a_call_fails_once_with_an_error_of_the_disk(library: Path, tmp_path: Path) -> None:
    succeed(
        library,
        tmp_path,
        """
        handle = os.open(state / "a", os.O_WRONLY | os.O_CREAT)
        faults.arm(Action.FAIL, 2)
        os.write(handle, b"1")
        try:
            os.fsync(handle)
        except OSError as error:
            assert error.errno == errno.EIO
        else:
            raise AssertionError("it did not fail")
        os.fsync(handle)
        """,
    )


def test_a_full_disk_takes_nothing_more_until_it_has_room(library: Path, tmp_path: Path) -> None:
    succeed(
        library,
        tmp_path,
        """
        def refused(action):
            try:
                action()
            except OSError as error:
                return error.errno == errno.ENOSPC
            return False

        handle = os.open(state / "a", os.O_WRONLY | os.O_CREAT)
        faults.arm(Action.FULL, 1)
        assert refused(lambda: os.write(handle, b"1"))
        assert refused(lambda: os.write(handle, b"1"))
        assert refused(lambda: (state / "b").touch())
        assert refused(lambda: (state / "c").mkdir())
        assert refused(lambda: os.posix_fallocate(handle, 0, 10))
        os.fsync(handle)
        os.ftruncate(handle, 0)
        faults.heal()
        assert os.write(handle, b"1") == 1
        """,
    )


def test_a_write_can_be_short(library: Path, tmp_path: Path) -> None:
    succeed(
        library,
        tmp_path,
        """
        handle = os.open(state / "a", os.O_WRONLY | os.O_CREAT)
        faults.arm(Action.SHORT, 1)
        assert os.write(handle, b"12345678") == 4
        assert (state / "a").read_bytes() == b"1234"
        """,
    )


@pytest.mark.parametrize(("action", "left"), [("KILL", b""), ("TORN", b"1234")])
def test_a_process_dies_before_a_write_or_in_the_middle(
    action: str, left: bytes, library: Path, tmp_path: Path
) -> None:
    done = run(
        library,
        tmp_path,
        f"""
        handle = os.open(state / "a", os.O_WRONLY | os.O_CREAT)
        faults.arm(Action.{action}, 1)
        os.write(handle, b"12345678")
        """,
    )
    assert done.returncode == -SIGKILL
    assert (tmp_path / "a").read_bytes() == left
