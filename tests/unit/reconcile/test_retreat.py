"""When a worker leaves an accelerator that its processes end on."""

import signal

import pytest

from edge_agent.contract.providers import CPU, SHORT_NAMES
from edge_agent.reconcile.restart import HEALTHY_S
from edge_agent.reconcile.retreat import MOST_ENDS, Ends, count_end, retreat
from edge_agent.runtime.protocol import Measured, RunsOn

CUDA, TRT = SHORT_NAMES["cuda"], SHORT_NAMES["tensorrt"]
SEGV, KILL = -signal.SIGSEGV, -signal.SIGKILL


@pytest.mark.parametrize(
    ("before", "provider", "code", "returncode", "lived_s", "after"),
    [
        (Ends(), CUDA, "crashed", SEGV, 1.0, Ends(CUDA, 1)),
        (Ends(CUDA, 1), CUDA, "crashed", SEGV, 1.0, Ends(CUDA, 2)),
        (Ends(CUDA, 1), CUDA, "worker_hung", KILL, 30.0, Ends(CUDA, 2)),
        (Ends(CUDA, 1), CUDA, "load_timeout", KILL, 120.0, Ends(CUDA, 2)),
        # Bad input, a broker that is away, an owner who kills: no accelerator's doing.
        (Ends(CUDA, 1), CUDA, "worker_cut_off", KILL, 1.0, Ends(CUDA, 1)),
        (Ends(CUDA, 1), CUDA, "unreadable", 3, 1.0, Ends(CUDA, 1)),
        (Ends(CUDA, 1), CUDA, "crashed", KILL, 1.0, Ends(CUDA, 1)),
        # Not in a row.
        (Ends(CUDA, 4), CUDA, "crashed", SEGV, HEALTHY_S, Ends(CUDA, 1)),
        (Ends(TRT, 4), CUDA, "crashed", SEGV, 1.0, Ends(CUDA, 1)),
        (Ends(CUDA, 4), CPU, "crashed", SEGV, 1.0, Ends(CPU)),
        (Ends(), CPU, "crashed", SEGV, 1.0, Ends(CPU)),
    ],
)
def test_which_ends_count(
    before: Ends, provider: str, code: str, returncode: int, lived_s: float, after: Ends
) -> None:
    assert count_end(before, provider, code, returncode, lived_s) == after


def test_it_stays_until_enough_have_ended() -> None:
    runs_on = RunsOn(providers=(CUDA, CPU))
    assert retreat(runs_on, Ends(CUDA, MOST_ENDS - 1)) is None
    assert retreat(runs_on, Ends(CPU, 100)) is None


def test_it_goes_on_with_the_next_of_its_order_and_says_why() -> None:
    runs_on = RunsOn(
        providers=(TRT, CUDA, CPU),
        options={TRT: {"a": "1"}, CUDA: {"b": "2"}},
        notes=("openvino is not used: no; it runs on tensorrt",),
        measured=Measured(threads=2),
        key="of tensorrt",
    )
    first = retreat(runs_on, Ends(TRT, MOST_ENDS))
    assert first is not None
    assert (first.providers, first.options) == ((CUDA, CPU), {CUDA: {"b": "2"}})
    assert (first.measured, first.key) == (None, "")
    *before, note = first.notes
    assert tuple(before) == runs_on.notes
    assert note == (
        f"tensorrt is not used: {MOST_ENDS} processes in a row ended while the model ran on it; "
        "it runs on cuda"
    )
    second = retreat(first, Ends(CUDA, MOST_ENDS))
    assert second is not None
    assert second.providers == (CPU,)
    assert second.notes[-1].endswith("it runs on cpu")


def test_what_had_already_fallen_back_goes_past_what_it_does_not_use() -> None:
    # TensorRT did not load the model, so that it ran on CUDA.
    found = retreat(RunsOn(providers=(TRT, CUDA, CPU)), Ends(CUDA, MOST_ENDS))
    assert found is not None
    assert found.providers == (CPU,)
