"""A real PostgreSQL server in a folder of its own, on a free loopback port."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from cloud_sync.broker.embedded import free_port
from tests.support.waiting import wait_for

USER = "shoal"
_WITHOUT_DISK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_SMALL = ("shared_buffers=16MB", "max_connections=60", "autovacuum=off", "jit=off")


def find_programs() -> Path:
    """The folder with `initdb` and `postgres`: on the PATH, or where Debian puts it."""
    found = shutil.which("postgres")
    return Path(found).parent if found else max(Path("/usr/lib/postgresql").glob("*/bin"))


class PostgresqlServer:
    """Fast and forgetful: nothing in it outlives the test."""

    def __init__(self) -> None:
        # Not below pytest's folder, which the server's own user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="shoal-pg-"))
        self.port = free_port()
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._programs = find_programs()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def create(self) -> None:
        """Make the data folder."""
        if self._user:
            shutil.chown(self.folder, self._user)
        data = str(self.folder / "data")
        options = ["--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8"]
        subprocess.run(
            [str(self._programs / "initdb"), "-D", data, "--locale=C", *options],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self.folder,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = ("listen_addresses=127.0.0.1", *_WITHOUT_DISK, *_SMALL)
        options = [argument for setting in settings for argument in ("-c", setting)]
        options += ["-p", str(self.port), "-k", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
            )
        wait_for(self._answers, 30, lambda: (self.folder / "log").read_text())

    def stop(self) -> None:
        """End it, and every connection to it."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(15)

    def remove(self) -> None:
        """Take its folder away."""
        shutil.rmtree(self.folder)

    def new_database(self) -> str:
        """Make an empty database; its URL for the service."""
        name = f"test_{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{name}"

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True
