"""What is done about a worker that lives but is not well."""

import pytest

from edge_agent.reconcile.fitness import (
    ALONE_S,
    FAILING_S,
    GRACE_S,
    LOAD_S,
    SILENT_S,
    Signs,
    complaint,
)


@pytest.mark.parametrize(
    ("signs", "code"),
    [
        (Signs(), ""),
        (Signs(loading_s=LOAD_S), ""),
        (Signs(loading_s=LOAD_S + 1), "load_timeout"),
        # A model that loads holds the interpreter: nothing is heard, and that is all right.
        (Signs(loading_s=LOAD_S, silent_s=LOAD_S), ""),
        (Signs(silent_s=SILENT_S), ""),
        (Signs(silent_s=SILENT_S + 1), "worker_hung"),
        (Signs(run_s=10 + GRACE_S, run_limit_s=10), ""),
        (Signs(run_s=11 + GRACE_S, run_limit_s=10), "worker_hung"),
        (Signs(run_s=3000, run_limit_s=3600), ""),
        (Signs(run_s=3000, run_limit_s=0), ""),
        (Signs(cut_off_s=ALONE_S), ""),
        (Signs(cut_off_s=ALONE_S + 1), "worker_cut_off"),
        (Signs(cut_off_s=ALONE_S + 1, cures=1), ""),
        (Signs(cut_off_s=2 * ALONE_S + 1, cures=1), "worker_cut_off"),
        (Signs(cut_off_s=1e9, cures=10**6), "worker_cut_off"),
        (Signs(failing_s=FAILING_S), ""),
        (Signs(failing_s=FAILING_S + 1), "worker_failing"),
        (Signs(failing_s=FAILING_S + 1, cures=1), ""),
    ],
)
def test_the_table(signs: Signs, code: str) -> None:
    found = complaint(signs)
    assert (found.code if found else "") == code
