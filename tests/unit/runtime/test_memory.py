"""What a process says about its memory, and what its bound leaves room for."""

import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec.structs import replace

from edge_agent.contract.manifest import Input, Runtime, Tensor, Window
from edge_agent.contract.providers import CPU
from edge_agent.contract.signature import TensorSpec
from edge_agent.runtime.binding.store import MAX_SOURCES
from edge_agent.runtime.memory import peak_rss_mb, rss_mb
from edge_agent.runtime.protocol import RunsOn
from tests.support.accelerator import CUDA
from tests.support.models import build_module, fields, identity_model, manifest_of, write_module

MODEST = "from edge_agent.runtime.memory import peak_rss_mb; print(peak_rss_mb())"
BIG_BEFORE = f"""
import os, sys
b"x" * (200 * 2**20)
os.execv(sys.executable, [sys.executable, "-c", {MODEST!r}])
"""

# A driver reserves more addresses than the machine has memory, and takes none of it.
RESERVES = """
import mmap
from edge_agent.errors import ModelError
from edge_agent.runtime.memory import limit_growth
limit_growth(64)
reserved = mmap.mmap(-1, 64 * 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0)
print("reserved")
shared = mmap.mmap(-1, 256 * 2**20)
print("shared")
try:
    held = b"x" * (96 * 2**20)
except MemoryError:
    print("refused")
held = b"x" * (32 * 2**20)
print("told")
"""

# Loading takes more than the module may add, as the libraries of an accelerator do.
GREEDY_DRIVER = """
import sys
from edge_agent.errors import ModelError
from edge_agent.runtime import session
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.loading import load
from edge_agent.runtime.protocol import spec_decoder
taken = []
own = session.open_on
def greedy(model, providers, options, threads):
    taken.append(b"x" * (256 * 2**20))
    return own(model, ("CPUExecutionProvider",), {}, threads)
session.open_on = greedy
pipe = EventPipe(sys.stdout.buffer, stats=None, interval_s=60)
try:
    load(spec_decoder.decode(sys.stdin.buffer.read()), pipe)
except ModelError as error:
    print(error.code)
else:
    print("loaded")
    try:
        taken.append(b"x" * (256 * 2**20))
    except MemoryError:
        print("refused")
"""

# As many threads as a worker has, beside those of its runs.
MANY_THREADS = """
import sys, threading
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.loading import load
from edge_agent.runtime.protocol import spec_decoder
pipe = EventPipe(sys.stdout.buffer, stats=None, interval_s=60)
engine = load(spec_decoder.decode(sys.stdin.buffer.read()), pipe)
over = threading.Event()
threads = [threading.Thread(target=over.wait) for _ in range(4)]
for thread in threads:
    thread.start()
print("started")
try:
    held = b"x" * (96 * 2**20)
except MemoryError:
    print("refused")
over.set()
"""

MANY_SOURCES = """
import collections, os, sys
from edge_agent.runtime.event_pipe import EventPipe
from edge_agent.runtime.loading import load
from edge_agent.runtime.protocol import spec_decoder
pipe = EventPipe(sys.stdout.buffer, stats=None, interval_s=60)
engine = load(spec_decoder.decode(sys.stdin.buffer.read()), pipe)
engine.attach(os.memfd_create("region"))
codes = collections.Counter()
for number in range(int(sys.argv[1])):
    answer = engine.answer(f"sensors/{number}/rows", b'{"a": 1, "b": 1}', 0.0)
    codes[answer.code if answer else ""] += 1
print(dict(codes), engine.losses)
"""


def test_the_peak_is_not_that_of_the_program_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BIG_BEFORE], capture_output=True, check=True, timeout=30
    )
    assert 1 < float(done.stdout) < 100


def test_the_peak_stays() -> None:
    held = b"x" * (100 * 2**20)
    del held
    assert peak_rss_mb() > rss_mb() + 50


def test_the_bound_is_on_memory_and_not_on_reserved_addresses() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RESERVES], capture_output=True, check=False, timeout=60
    )
    assert done.stdout.decode().split() == ["reserved", "shared", "refused", "told"], done.stderr


def test_an_accelerators_libraries_are_loaded_before_the_bound_holds(tmp_path: Path) -> None:
    built = build_module(tmp_path, runtime=Runtime(memory_mb=128, threads=1))
    spec = replace(built.spec("live"), runs_on=RunsOn(providers=(CUDA, CPU)))
    done = subprocess.run(
        [sys.executable, "-c", GREEDY_DRIVER],
        input=msgspec.json.encode(spec),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.decode().split() == ["loaded", "refused"], done.stderr
    on_cpu = subprocess.run(
        [sys.executable, "-c", GREEDY_DRIVER],
        input=msgspec.json.encode(built.spec("live")),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert on_cpu.stdout.decode().split() == ["out_of_memory"], on_cpu.stderr


def test_the_threads_of_a_run_take_nothing_from_what_the_model_may_add(tmp_path: Path) -> None:
    spec = build_module(tmp_path, runtime=Runtime(memory_mb=16, threads=2)).spec("live")
    done = subprocess.run(
        [sys.executable, "-c", MANY_THREADS],
        input=msgspec.json.encode(spec),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode().split() == ["started", "refused"], done.stderr


def test_windows_of_many_sources_take_nothing_from_what_the_model_may_add(tmp_path: Path) -> None:
    spec = TensorSpec("X", "float32", (-1, 15_000, 2))
    model = identity_model(spec)
    manifest = manifest_of(
        model,
        [spec],
        [TensorSpec("X_out", "float32", (-1, 15_000, 2))],
        [Tensor(name="X", source="fields", fields=fields("a", "b"))],
        source=Input(topic="sensors/+/rows", window=Window(size=15_000, step=1)),
        runtime=Runtime(memory_mb=128),
    )
    built = write_module(tmp_path, manifest, {}, model)
    done = subprocess.run(
        [sys.executable, "-c", MANY_SOURCES, str(MAX_SOURCES)],
        input=msgspec.json.encode(built.spec("live")),
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.decode().startswith(f"{{'': {MAX_SOURCES}}}"), done.stdout
