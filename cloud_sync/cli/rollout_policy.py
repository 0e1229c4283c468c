"""How a person writes a rollout's policy: a TOML file, `--set KEY=VALUE`, and options. Pure.

The file's keys are those of the HTTP API's `Policy`; what is not given keeps its default.
"""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import asdict, fields

from cloud_sync.cli.moments import seconds
from cloud_sync.errors import InvalidInput
from cloud_sync.rollout_gates import Gates
from cloud_sync.rollout_policy import Policy
from edge_agent.contract.toml import fitted, read_toml
from edge_agent.contract.toml_lines import Path

GateName = Literal["error_rate", "slow", "old", "disagreement", "memory", "psi", "wrong", "all"]
MAX_FILE_BYTES: Final = 2**16
_SEPARATORS: Final = {"windows": ";"}
"""Between the parts of a list, where it is no comma: that stands between a window's days."""


class PolicyFile(Policy, frozen=True, kw_only=True):
    """A policy, and what TOML has no value for.

    Attributes:
        without_gates: gates that are not asked; "all" for none at all.
    """

    without_gates: tuple[GateName, ...] = ()


def read_policy(text: str, source: str, settings: Sequence[str] = ()) -> Policy:
    """A policy from a file's text and what was set beside it, which goes first.

    Args:
        text: of the file; empty for the defaults.
        source: the file's name, for errors.
        settings: `KEY=VALUE`; keys of inner tables have dots, `gates.psi.bad=0.3`; seconds may be
            given as `30m`; lists with commas, windows with semicolons, or as TOML.

    Raises:
        InvalidInput: a key that there is not, or a value that does not fit.
    """
    found = read_toml(text, PolicyFile, source=source, error=InvalidInput)
    return _without(_changed(msgspec.to_builtins(found), settings) if settings else found)


def change_policy(policy: Policy, settings: Sequence[str]) -> Policy:
    """A policy with some of its settings changed.

    Args:
        policy: as it is; gates that it does not ask stay away.
        settings: as in `read_policy`.

    Raises:
        InvalidInput: as in `read_policy`.
    """
    data: dict[str, Any] = msgspec.to_builtins(policy)  # Any: tables, lists and values
    gates = data["gates"]
    if gates is None:
        data |= {"gates": msgspec.to_builtins(Gates()), "without_gates": ["all"]}
    else:
        data["without_gates"] = [name for name, value in gates.items() if value is None]
    return _without(_changed(data, settings))


def _changed(data: dict[str, Any], settings: Sequence[str]) -> PolicyFile:  # Any: as above
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise InvalidInput(
                f"--set expected KEY=VALUE, found {setting!r}",
                hint="for example --set soak_s=30m, or --set gates.psi.bad=0.3",
            )
        _put(data, tuple(key.strip().split(".")), value.strip())
    return fitted(data, PolicyFile, place=_place, error=InvalidInput)


def _put(data: dict[str, Any], path: tuple[str, ...], text: str) -> None:  # Any: as above
    """Set what a person wrote at a place, in the kind that is there already."""
    table = data
    for part in path[:-1]:
        # A gate that is not asked is nothing there; it needs both of its limits.
        inner = table[part] = {} if table.get(part) is None else table[part]
        if not isinstance(inner, dict):
            raise InvalidInput(
                f"--set {'.'.join(path)}: {part} is a value and has no keys",
                hint=f"write --set {part}=VALUE",
            )
        table = inner
    table[path[-1]] = _value(path, text)


def _value(path: tuple[str, ...], text: str) -> object:
    default = _default(path)
    if path[-1].endswith("_s"):
        return seconds(text, f"the policy: {'.'.join(path)}")
    try:
        value = tomllib.loads(f"it = {text}")["it"]
    except tomllib.TOMLDecodeError:
        value = text
    if isinstance(default, tuple) and not isinstance(value, list):
        parts = text.split(_SEPARATORS.get(path[-1], ","))
        return [part.strip() for part in parts if part.strip()]
    # A number of devices is a text there, `5` as well as `10%`.
    return text if isinstance(default, str) and not isinstance(value, str) else value


def _default(path: tuple[str, ...]) -> object:
    found: object = PolicyFile()
    for part in path:
        found = getattr(found, part, None)
    return found


def _place(_: Path) -> str:
    return "the policy"


def _without(found: PolicyFile) -> Policy:
    policy = Policy(**{field.name: getattr(found, field.name) for field in fields(Policy)})
    if "all" in found.without_gates:
        return msgspec.structs.replace(policy, gates=None)
    if not found.without_gates or policy.gates is None:
        return policy
    gates = asdict(policy.gates) | dict.fromkeys(found.without_gates)
    return msgspec.structs.replace(policy, gates=Gates(**gates))


def settings_of(options: Mapping[str, object]) -> list[str]:
    """Options that were given, as settings: those that are None were not.

    Args:
        options: key of the policy to what was typed.
    """
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for key, value in options.items()
        if value is not None
    ]


TEMPLATE: Final = """\
# How a rollout goes forward. Every key is optional; these are the defaults. Times are in seconds.
# shoal rollout start MODULE --to TARGET --policy THIS-FILE

# Devices that have the version once a stage is full, counted from the first: a number, or a part.
stages = ["1", "1%", "10%", "50%", "100%"]
# How many stages, from the first, run the version beside the champion before it answers.
shadow_stages = 2

# Devices that may be on their way at once: of all, and of each site. The tag tells the site.
max_in_flight = "10%"
max_in_flight_per_site = "25%"
site_tag = "site"

# Of those attempted: how many must run it, and how many may fail. Fewer than min_sample are judged
# only when all have ended.
min_success = 0.95
max_failure = 0.05
min_sample = 5

# How long a full stage runs, and how many messages it answers, before it is judged; and how much
# longer it may wait for evidence.
soak_s = 1800
soak_messages = 200
judge_s = 86400

# How long a device may take for each step, how often it is asked again, and the longest wait
# before the first of these times (doubled each time, with full jitter).
download_s = 3600
install_s = 600
trial_s = 7200
retries = 3
retry_s = 60

# A device that is away leaves the denominator, and later its place in the queue. With a larger
# part of a stage away nothing is concluded.
offline_after_s = 86400
expire_after_s = 2592000
max_offline = 0.2
# Whether a device that is away, or puts updates off, is told at once and follows when it can; else
# it is told when it is back, or the lock ends.
offer_offline = false

# When a stage fails: "pause", "rollback-stage" (its devices go back) or "rollback" (all do).
on_error = "pause"
# How long devices may take to go back.
rollback_s = 86400
# Whether a device that failed is told to run its previous version again.
revert_failed = true

# Whether somebody else than who asks must say yes.
approval = false
# How long it waits for a person (as a draft, for approval, paused) before it is cancelled.
unattended_s = 2592000
# When devices may be offered something: ["sat,sun 01:00-05:00 Europe/Oslo"]; empty for always.
# (--set 'windows=sat,sun 01:00-05:00 Europe/Oslo; mon 22:00-02:00 UTC' for two of them.)
windows = []
# How long a program on the device may put an update off.
lock_max_s = 86400
# Devices that match the target only later: "ignore" or "include".
late_joiners = "ignore"
# Of two rollouts that want a device the higher goes first; of equal ones the one started later.
priority = 0

# Gates that are not asked, of error_rate, slow, old, disagreement, memory, psi, wrong; or "all".
without_gates = []

# Over a whole rollout and all gates: how often a good version may be stopped, and a bad one pass.
[gates]
false_alarm = 0.05
miss = 0.05
# good: no worse than this is not stopped. bad: no better than this does not pass.
error_rate = { good = 0.01, bad = 0.03 }    # of messages, those that fail
slow = { good = 0.01, bad = 0.05 }          # slower than max_p99_ms, or twice the champion's p99
old = { good = 0.01, bad = 0.1 }            # older than twice the champion's p99 of age
disagreement = { good = 0.02, bad = 0.06 }  # in shadow, other answers than the champion's
memory = { good = 1.0, bad = 1.5 }          # times memory_mb, or else what the champion takes
psi = { good = 0.1, bad = 0.25 }            # drift of the scores
# wrong = { good = 0.05, bad = 0.1 }        # of messages with a label, those answered wrongly
"""
