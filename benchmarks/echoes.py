"""Echo programs beside what is measured: compiled, started, watched, ended."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil

from tests.support.brokers import Broker

SOURCE: Final = Path(__file__).parent / "echo.c"
COMPILERS: Final = ("cc", "gcc", "clang")
OWN: Final = {"own": "3.1.1", "own_v5": "5", "echo": "auto"}


class Echo:
    """A running echo.

    Attributes:
        name: of the client.
        topic_in: what it listens to.
        topic_out: what it answers on.
    """

    def __init__(
        self, name: str, topics: tuple[str, str], process: subprocess.Popen[bytes]
    ) -> None:
        self.name = name
        self.topic_in, self.topic_out = topics
        self._process = process
        self._watched = psutil.Process(process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """Processor time so far, seconds."""
        return float(sum(self._watched.cpu_times()[:2]))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def compile_c_echo(folder: Path) -> Path | None:
    """The C echo as a program; None where there is no C compiler."""
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        return None
    program = folder / "c-echo"
    subprocess.run([compiler, "-O2", "-o", str(program), str(SOURCE)], check=True)
    return program


def start_echo(broker: Broker, name: str, program: list[str] | None = None) -> Echo:
    """Start an echo and wait until it is subscribed.

    Args:
        broker: that it connects to.
        name: of the client.
        program: to run; without one, the Python echo of that name.
    """
    topics = (f"bench/{name}/in", f"bench/{name}/out")
    address = [broker.host, str(broker.port)]
    if program is None:
        program = [sys.executable, "-m"]
        if name in OWN:
            command = [*program, "benchmarks.echo", *address, *topics, "--protocol", OWN[name]]
        else:
            command = [*program, "benchmarks.echo_peers", name, *address, *topics]
    else:
        command = [*program, *address, *topics]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    if process.stdout is None or process.stdout.readline() != b"ready\n":
        process.kill()
        raise RuntimeError(f"the echo {name!r} did not connect")
    return Echo(name, topics, process)
