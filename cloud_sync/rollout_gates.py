"""The gates of a rollout's stages as a person sets them: rates, and how often they may be wrong.

How they are judged is in `cloud_sync.rollout.gates`; nothing here decides.
"""

from typing import Annotated

from msgspec import Meta, Struct


class Limit(Struct, frozen=True, kw_only=True):
    """A gate's two rates: what is still as good as before, and what must be caught.

    Attributes:
        good: a version at or below this is stopped at most as often as `Gates.false_alarm` says.
        bad: a version at or above this passes at most as often as `Gates.miss` says.
    """

    good: float
    bad: float


class Gates(Struct, frozen=True, kw_only=True):
    """What a stage is judged by; a gate that is None is not asked.

    Attributes:
        false_alarm: probability of stopping a good version, over a whole rollout and all gates.
        miss: probability of passing a version that is bad by any gate.
        error_rate: of messages, those that failed in the model or could not become tensors.
        slow: of messages, those slower than the module's `max_p99_ms`, or else than twice the
            champion's p99.
        old: of messages whose age is known, those older than twice the champion's p99 of age.
        disagreement: of messages in shadow, those whose outputs differ from the champion's.
        memory: times what the manifest's `memory_mb` allows, or else what the champion takes.
        psi: population stability index of the scores, against the module's reference profile, or
            in shadow against the champion.
        wrong: of messages with a delayed label, those that were answered wrongly.
    """

    false_alarm: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    miss: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    error_rate: Limit | None = Limit(good=0.01, bad=0.03)
    slow: Limit | None = Limit(good=0.01, bad=0.05)
    old: Limit | None = Limit(good=0.01, bad=0.10)
    disagreement: Limit | None = Limit(good=0.02, bad=0.06)
    memory: Limit | None = Limit(good=1.0, bad=1.5)
    psi: Limit | None = Limit(good=0.1, bad=0.25)
    wrong: Limit | None = None
