"""Shares: which numbers and parts of devices a policy may speak of. Pure.

Refuses what can only be a slip of the pen: a stage that takes in nobody, one that takes in no more
than the one before it, a part that is more than all.
"""

from collections.abc import Sequence
from fractions import Fraction

from cloud_sync.errors import InvalidInput
from cloud_sync.rollout_policy import Policy

PERCENT = "%"


def check_shares(policy: Policy) -> None:
    """Refuse stages and bounds that cannot be meant.

    Numbers and parts are compared among themselves only: which of "5" and "10%" is more depends
    on how many devices there are.

    Raises:
        InvalidInput: code `stages_invalid` or `share_invalid`.
    """
    for name in ("max_in_flight", "max_in_flight_per_site"):
        share = getattr(policy, name)
        if _is_too_much(share):
            raise InvalidInput(
                f"{name} expected a part of 100 % at most, found {share}",
                hint=f'"100%" for all, or a number of devices: "{share.removesuffix(PERCENT)}"',
                code="share_invalid",
            )
        if not _amount(share):
            raise InvalidInput(
                f"{name} expected one device at least, found {share}",
                hint='"1" for one after the other; `shoal rollout pause` stops all',
                code="share_invalid",
            )
    for number, share in enumerate(policy.stages):
        if _is_too_much(share):
            raise _invalid(policy, number, "a part of 100 % at most")
        if not _amount(share):
            raise _invalid(policy, number, "one device at least")
        before = _before(policy.stages[:number], share)
        if before is not None and _amount(share) <= _amount(before):
            raise _invalid(policy, number, f"more than the {before} before it")


def _before(stages: Sequence[str], share: str) -> str | None:
    """The last stage before that is given as this one is, in numbers or in parts."""
    alike = [one for one in stages if one.endswith(PERCENT) == share.endswith(PERCENT)]
    return alike[-1] if alike else None


def _amount(share: str) -> Fraction:
    return Fraction(share.removesuffix(PERCENT))


def _is_too_much(share: str) -> bool:
    return share.endswith(PERCENT) and _amount(share) > 100


def _invalid(policy: Policy, number: int, expected: str) -> InvalidInput:
    return InvalidInput(
        f"stage {number + 1} of {', '.join(policy.stages)} expected {expected}, found "
        f"{policy.stages[number]}",
        hint="each stage says how many have the version once it is full, counted from the first: "
        "1,10%,100%",
        code="stages_invalid",
    )
