"""Settings: the file, the environment, and every way to get them wrong."""

from pathlib import Path

import pytest

from edge_agent.config import find_config, load, parse
from edge_agent.errors import ConfigError

FOLDER = Path("/etc/shoal")


def read(text: str, **environment: str):
    return parse(text, environment, source="agent.toml", folder=FOLDER)


def test_a_device_name_is_all_that_is_needed():
    settings = read('[agent]\ndevice = "line-1"\n')
    assert settings.agent.device == "line-1"
    assert settings.agent.state_dir == "/var/lib/shoal"
    assert settings.health.interval_s == 30
    assert settings.shares_cloud_broker


def test_relative_paths_are_relative_to_the_file():
    settings = read(
        '[agent]\ndevice = "line-1"\nstate_dir = "state"\n[cloud]\nca_file = "../ca.pem"\n'
    )
    assert settings.agent.state_dir == "/etc/shoal/state"
    assert settings.cloud.ca_file == "/etc/ca.pem"
    assert settings.cloud.key_file == ""


def test_the_environment_wins_over_the_file():
    settings = read(
        '[agent]\ndevice = "line-1"\n[health]\ninterval_s = 5\n',
        EDGE_AGENT_AGENT_DEVICE="line-2",
        EDGE_AGENT_HEALTH_INTERVAL_S="2.5",
        EDGE_AGENT_DATA_BROKER="mqtt://10.0.0.1",
        EDGE_AGENT_CONFIG="ignored",
        HOME="ignored",
    )
    assert settings.agent.device == "line-2"
    assert settings.health.interval_s == 2.5
    assert not settings.shares_cloud_broker


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[agent\n", "agent.toml line 1, column"),
        ('[agent]\ndevice = "a"\n[clowd]\n', "unknown key 'clowd'"),
        ('[agent]\ndevice = "a"\nstate-dir = "x"\n', "line 3: unknown key 'state-dir'"),
        ("[cloud]\n", "agent"),
        ("[agent]\n", "needs the key 'device'"),
        ("[agent]\ndevice = 3\n", "line 2: agent.device expected"),
        ('[agent]\ndevice = "Line 1"\n', "agent.device expected 1-63 characters"),
        ('[agent]\ndevice = "a"\n[health]\ninterval_s = 0\n', "health.interval_s expected"),
        ('[agent]\ndevice = "a"\n[cloud]\nurl = "ftp://x"\n', "line 4: cloud.url expected http://"),
        ('[agent]\ndevice = "a"\n[cloud]\nbroker = "x:1883"\n', "cloud.broker expected mqtt://"),
        ('[agent]\ndevice = "a"\n[data]\nbroker = "mqtt://h:p"\n', "data.broker expected mqtt://"),
        ('[agent]\ndevice = "a"\n[data]\nprotocol = "4"\n', "line 4: data.protocol expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, expected: str):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert expected in caught.value.text
    assert caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://alice:zebra-7@host",
        "https://zebra-7@host:8080/api",
        "http://alice:zebra-7/@host",
        "http://alice:1/zebra-7@host",
    ],
)
def test_a_password_in_the_url_of_the_cloud_is_refused_and_not_repeated(url: str):
    for found in (
        {"text": f'[agent]\ndevice = "a"\n[cloud]\nurl = "{url}"\n'},
        {"text": '[agent]\ndevice = "a"\n', "EDGE_AGENT_CLOUD_URL": url},
    ):
        with pytest.raises(ConfigError) as caught:
            read(**found)
        assert "no user and no password" in caught.value.text
        assert "zebra" not in str(caught.value)
        assert "cert_file" in caught.value.hint
        assert caught.value.code == "user_in_url"


@pytest.mark.parametrize(
    "broker",
    [
        "http://alice:zebra-7@host",
        "mqtt://alice:zebra-7@host:none",
        "mqtt://alice:12/zebra-7@host",
        "mqtt://alice:zebra-7#1@host",
        "alice:zebra-7@host",
        "mqtt://alice:zebra-7@",
    ],
)
@pytest.mark.parametrize("section", ["cloud", "data"])
def test_a_password_in_a_url_that_is_wrong_is_not_repeated(broker: str, section: str):
    with pytest.raises(ConfigError) as caught:
        read(f'[agent]\ndevice = "a"\n[{section}]\nbroker = "{broker}"\n')
    assert "***@" in caught.value.text
    assert "zebra" not in str(caught.value)
    assert "alice" not in str(caught.value)


def test_choices_that_the_text_lists_are_not_listed_again():
    with pytest.raises(ConfigError) as caught:
        read('[agent]\ndevice = "a"\n[data]\nprotocol = "4"\n')
    assert "expected one of '3.1.1', '5', 'auto'" in caught.value.text
    assert caught.value.hint == "choose one of these"


def test_an_unknown_key_gets_the_closest_known_one():
    with pytest.raises(ConfigError) as caught:
        read('[agent]\ndevice = "a"\nstate_dri = "x"\n')
    assert caught.value.hint == "did you mean 'state_dir'?"


def test_an_unknown_variable_gets_the_closest_known_one():
    with pytest.raises(ConfigError) as caught:
        read('[agent]\ndevice = "a"\n', EDGE_AGENT_CLOUD_URI="http://x")
    assert "EDGE_AGENT_CLOUD_URL" in caught.value.hint


def test_a_variable_of_a_wrong_type_is_named():
    with pytest.raises(ConfigError, match="EDGE_AGENT_HEALTH_INTERVAL_S"):
        read('[agent]\ndevice = "a"\n', EDGE_AGENT_HEALTH_INTERVAL_S="often")


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml", {})
    assert caught.value.code == "config_unreadable"
    (tmp_path / "bytes.toml").write_bytes(b"[agent]\ndevice = '\xff'\n")
    with pytest.raises(ConfigError, match="line 2: expected UTF-8"):
        load(tmp_path / "bytes.toml", {})


def test_the_usual_places_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_config({"EDGE_AGENT_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
    (tmp_path / "agent.toml").touch()
    assert find_config({}) == Path("agent.toml")
