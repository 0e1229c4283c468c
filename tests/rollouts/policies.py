"""Policies to try: every knob that changes what may happen, in a few values each."""

from msgspec.structs import replace

from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import AT_ONCE, Policy
from tests.rollouts.chance import Chance

COUNTED = Gates(
    error_rate=Limit(good=0.01, bad=0.1),
    disagreement=Limit(good=0.01, bad=0.1),
    slow=None,
    old=None,
    memory=None,
    psi=None,
)
LABELLED = replace(COUNTED, wrong=Limit(good=0.05, bad=0.3))
STAGES = (("1", "100%"), ("50%", "100%"), ("100%",), ("1", "50%", "100%"))
IN_FLIGHT = ("1", "2", "50%", "100%")


def any_policy(chance: Chance) -> Policy:
    """A policy, by chance."""
    pick = chance.choice
    if chance.happens(0.1):
        return AT_ONCE
    return Policy(
        stages=pick(STAGES),
        shadow_stages=pick((0, 0, 1, 2)),
        max_in_flight=pick(IN_FLIGHT),
        max_in_flight_per_site=pick(("50%", "100%")),
        min_success=pick((0.5, 0.95, 1.0)),
        max_failure=pick((0.05, 0.5)),
        min_sample=pick((1, 2, 5)),
        soak_s=pick((0, 60)),
        soak_messages=pick((0, 100)),
        judge_s=pick((300, 86_400)),
        download_s=pick((60, 3_600)),
        trial_s=pick((60, 7_200)),
        install_s=pick((60, 600)),
        retries=pick((0, 1, 3)),
        offline_after_s=pick((60, 86_400)),
        expire_after_s=pick((600, 30 * 86_400)),
        unattended_s=pick((600, 30 * 86_400)),
        max_offline=pick((0.2, 1.0)),
        on_error=pick(("pause", "rollback-stage", "rollback")),
        rollback_s=pick((120, 86_400)),
        revert_failed=pick((True, False)),
        approval=pick((False, False, True)),
        gates=pick((None, COUNTED, LABELLED)),
        offer_offline=pick((False, False, True)),
        priority=pick((0, 0, 1)),
        late_joiners=pick(("ignore", "include")),
    )
