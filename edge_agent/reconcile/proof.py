"""Proving a version on its golden cases; if an accelerator is at fault, on what is left.

A provider that works for a tiny model may still crash, hang or compute wrong with this one. Only
the CPU's refusal says that the version itself is bad.
"""

import logging
from collections.abc import Callable
from typing import Final

from edge_agent.contract.providers import CPU, short_name
from edge_agent.reconcile.specs import WorkerSpecs
from edge_agent.reconcile.workers import WorkerRefused, Workers
from edge_agent.runtime.protocol import WorkerTrialPassed
from edge_agent.store.slots import Installed, SlotRecord

log: Final = logging.getLogger("edge_agent.reconcile")

PROVIDER_FAULTS: Final = frozenset(
    {
        "crashed",
        "golden_failed",
        "golden_refused",
        "model_failed",
        "out_of_memory",
        "run_timeout",
        "too_slow",
        "trial_timeout",
    }
)
"""Refusals that another provider might not have given: those of a run, and not of the files."""


def prove(
    workers: Workers,
    specs: WorkerSpecs,
    record: SlotRecord,
    target: Installed,
    is_superseded: Callable[[], bool],
) -> WorkerTrialPassed:
    """Run the golden cases on the best provider on which they pass.

    What failed is remembered when they passed elsewhere, so that the live worker keeps off it and
    says why. It takes as many trials as there are providers to try, at most.

    Raises:
        WorkerRefused: they passed nowhere.
        Superseded: `is_superseded` said so.
    """
    unfit: dict[str, str] = {}
    while True:
        spec = specs.trial(record, target, unfit)
        try:
            passed = workers.prove(spec, is_superseded)
        except WorkerRefused as error:
            provider = spec.runs_on.providers[0]
            if provider == CPU or provider in unfit or error.code not in PROVIDER_FAULTS:
                raise
            unfit[provider] = f"this model failed its trial on it: {error.code}: {error.text}"
            log.warning(
                "event=provider_unfit slot=%s provider=%s code=%s",
                record.slot,
                short_name(provider),
                error.code,
            )
        else:
            if unfit:
                specs.keep_off(target, unfit)
            return passed
