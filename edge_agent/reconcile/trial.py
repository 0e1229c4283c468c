"""The trial on live messages: passed, failed, or not over yet. Pure."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

from edge_agent.contract.manifest import Trial
from edge_agent.contract.state import SlotError

LEAST_MESSAGES: Final = 20
"""With fewer, one bad answer says too little to end a trial early."""

MOST_INTERRUPTIONS: Final = 3
"""An agent that ends this often while a version is proved, loaded or tried has seen enough of it:
a model may take the whole machine with it, and leave nobody to say so."""

_OWN_STEPS: Final = ("prove", "switch", "trial")
"""Those in which a process runs the version. A download that is cut off says nothing about it."""

PATIENCE: Final = 10
"""A candidate whose broker stays away is kept after this many times the trial's time: a device
that is cut off for good must not be on trial for ever."""


class TrialRun(Struct, frozen=True, kw_only=True):
    """What a candidate has done on live messages so far.

    Attributes:
        running_s: since it was loaded and told to connect, seconds; None before.
        connected_s: since it first reached its broker, seconds; None before.
        answered: messages that got a result.
        model_errors: messages that failed in the model itself; bad input is not its fault.
        model_error: `code: text` of the last of those with the most frequent code, if known.
        crashes: how often its process ended by itself.
        last_words: why the process ended, if it did and is known.
    """

    running_s: float | None = None
    connected_s: float | None = None
    answered: int = 0
    model_errors: int = 0
    model_error: str = ""
    crashes: int = 0
    last_words: str = ""


class Outcome(Enum):
    """How a trial stands."""

    RUNNING = "running"
    PASSED = "passed"


def judge(run: TrialRun, rule: Trial) -> Outcome | SlotError:
    """Decide about a trial. Its time counts from the first connection.

    Args:
        run: what was seen.
        rule: what the module asks for.

    Returns:
        The outcome, or the error that ended the trial.
    """
    if run.crashes > 0:
        return SlotError(
            code="worker_crashed",
            text=f"its process ended {run.crashes} time(s) during the trial: "
            f"{run.last_words or 'no reason given'}",
            step="trial",
        )
    if run.running_s is None:
        return Outcome.RUNNING  # what is not loaded is never kept
    seen = run.answered + run.model_errors
    is_over = _is_time_over(run, rule.seconds) or 0 < rule.messages <= seen
    enough = LEAST_MESSAGES if rule.messages == 0 else min(LEAST_MESSAGES, rule.messages)
    if seen and (is_over or seen >= enough) and run.model_errors > rule.max_error_rate * seen:
        words = f"; most often {run.model_error}" if run.model_error else ""
        return SlotError(
            code="trial_errors",
            text=f"the model failed {run.model_errors} of {seen} live messages, expected at most "
            f"{rule.max_error_rate:.1%}{words}",
            step="trial",
        )
    return Outcome.PASSED if is_over else Outcome.RUNNING


def too_often_interrupted(interruptions: Mapping[str, int]) -> SlotError | None:
    """Why a version is not started once more, or None if it may be.

    Args:
        interruptions: how often the agent itself ended, by step.
    """
    counted = {step: interruptions[step] for step in _OWN_STEPS if interruptions.get(step)}
    count = sum(counted.values())
    if count < MOST_INTERRUPTIONS:
        return None
    steps = ", ".join(f"{step} {times}" for step, times in counted.items())
    return SlotError(
        code="agent_restarted",
        text=f"the agent or the whole machine ended {count} times while this version was tried "
        f"({steps})",
        step=max(counted, key=lambda step: counted[step]),
    )


def _is_time_over(run: TrialRun, seconds: float) -> bool:
    if run.connected_s is not None:
        return run.connected_s >= seconds
    return run.running_s is not None and run.running_s >= PATIENCE * seconds
