"""How a person's words become a policy."""

import pytest
from msgspec.structs import fields, replace

from cloud_sync.cli.moments import seconds
from cloud_sync.cli.rollout_policy import TEMPLATE, change_policy, read_policy, settings_of
from cloud_sync.errors import InvalidInput
from cloud_sync.rollout_gates import Gates, Limit
from cloud_sync.rollout_policy import AT_ONCE, Policy


def test_the_template_shows_every_key_and_is_the_default() -> None:
    assert read_policy(TEMPLATE, "policy.toml") == Policy()
    keys = {key.name for kind in (Policy, Gates) for key in fields(kind)} - {"gates"}
    assert [key for key in keys if f"{key} =" not in TEMPLATE] == []


def test_a_file_says_only_what_is_different() -> None:
    text = 'stages = ["2", "100%"]\n[gates]\nmiss = 0.01\npsi = { good = 0.2, bad = 0.4 }\n'
    found = read_policy(text, "policy.toml")
    assert found == Policy(
        stages=("2", "100%"), gates=Gates(miss=0.01, psi=Limit(good=0.2, bad=0.4))
    )
    assert type(found) is Policy


def test_settings_go_before_the_file() -> None:
    text = "soak_s = 60\nretries = 1\n"
    settings = [
        *("soak_s=30m", "stages=1, 10%,100%", "max_in_flight=5", "on_error=rollback"),
        *("windows=sat 01:00-05:00 Europe/Oslo", "approval=true", "gates.psi.bad=0.5"),
        "min_success=0.9",
    ]
    assert read_policy(text, "policy.toml", settings) == Policy(
        soak_s=1_800, retries=1, stages=("1", "10%", "100%"), max_in_flight="5",
        on_error="rollback", windows=("sat 01:00-05:00 Europe/Oslo",), approval=True,
        min_success=0.9, gates=Gates(psi=Limit(good=0.1, bad=0.5)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("sat,sun 01:00-05:00 Europe/Oslo", ("sat,sun 01:00-05:00 Europe/Oslo",)),
        ("sat,sun 01:00-05:00 UTC; daily 22:00-23:00 UTC",
         ("sat,sun 01:00-05:00 UTC", "daily 22:00-23:00 UTC")),
        ('["sat,sun 01:00-05:00 UTC", "mon 02:00-03:00 UTC"]',
         ("sat,sun 01:00-05:00 UTC", "mon 02:00-03:00 UTC")),
        ("", ()),
    ],
)  # fmt: skip
def test_the_commas_of_a_window_are_between_its_days(text: str, windows: tuple[str, ...]) -> None:
    assert read_policy("", "", [f"windows={text}"]).windows == windows


def test_gates_are_left_out_by_name_or_all_of_them() -> None:
    assert read_policy("", "", ["without_gates=psi,memory"]) == Policy(
        gates=replace(Gates(), psi=None, memory=None)
    )
    assert read_policy('without_gates = ["all"]', "policy.toml").gates is None


def test_a_policy_that_is_there_is_changed_and_asks_no_gate_that_it_did_not_ask() -> None:
    careful = Policy(soak_s=60, gates=replace(Gates(), psi=None))
    assert change_policy(careful, ["retries=1"]) == replace(careful, retries=1)
    again = ["without_gates=", "gates.psi.good=0.2", "gates.psi.bad=0.3"]
    asked = change_policy(careful, again).gates
    assert asked is not None
    assert asked.psi == Limit(good=0.2, bad=0.3)
    assert change_policy(AT_ONCE, ["retries=1"]) == replace(AT_ONCE, retries=1)
    labels = read_policy("", "", ["gates.wrong.good=0.01", "gates.wrong.bad=0.1"]).gates
    assert labels == Gates(wrong=Limit(good=0.01, bad=0.1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("soak = 60", "policy.toml line 1: unknown key 'soak' at the top level"),
        ('\non_error = "stop"', "policy.toml line 2: on_error expected"),
        ("retries = 101", "policy.toml line 1: retries expected"),
        ('stages = ["1", "200x"]', "policy.toml line 1: stages[1] expected"),
        ("[gates.psi]\ngood = 1.0", "policy.toml line 1: gates.psi needs the key 'bad'"),
        ("soak_s = ", "policy.toml line 1, column 10: not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_policy(text, "policy.toml")
    assert refused.value.text.startswith(said)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("soak_s", "--set expected KEY=VALUE, found 'soak_s'"),
        ("=1", "--set expected KEY=VALUE"),
        ("soak=60", "the policy: unknown key 'soak'"),
        ("soak_s=soon", "the policy: soak_s expected a duration, found 'soon'"),
        ("retries=many", "the policy: retries expected a whole number"),
        ("gates.drift.bad=1", "the policy: unknown key 'drift' in gates"),
        ("retries.more=1", "--set retries.more: retries is a value and has no keys"),
        ("on_error=stop", "the policy: on_error expected"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(setting: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_policy("", "", [setting])
    assert refused.value.text.startswith(said)
    assert refused.value.hint


def test_options_that_were_not_given_set_nothing() -> None:
    given = {"soak_s": "5m", "priority": 0, "shadow_stages": None, "stages": "", "approval": True}
    # What was given as nothing is a setting, and will be refused: nobody types it to be ignored.
    assert settings_of(given) == ["soak_s=5m", "priority=0", "stages=", "approval=true"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90),
        ("90s", 90),
        ("1.5m", 90),
        ("30min", 1_800),
        (" 24H ", 86_400),
        ("30 d", 2_592_000),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, expected: float) -> None:
    assert seconds(text, "--soak") == expected


@pytest.mark.parametrize("text", ["", "-1", "1y", "1h30m", "١h", "1e3", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="--soak expected a duration"):
        seconds(text, "--soak")
