"""What may not leave a device does not."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.config import AgentSection, CloudSection, DataSection, Settings
from edge_agent.daemon.bundle.secrets import (
    scrub,
    scrub_value,
    secrets_of,
    shown_settings,
)

SETTINGS = Settings(
    agent=AgentSection(device="line-1", state_dir=str(Path("state"))),
    cloud=CloudSection(
        url="https://cloud.example/api", broker="mqtts://bob:hunter%402@broker.example:8883"
    ),
    data=DataSection(broker="mqtt://access-token-77@127.0.0.1"),
)


def test_every_secret_of_the_settings_and_the_environment_is_known_in_both_spellings() -> None:
    environment = {
        "EDGE_AGENT_CLOUD_BROKER": "mqtt://eve:from-outside@b",
        "OTHER": "mqtt://x:not-ours@b",
    }
    found = secrets_of(SETTINGS, environment)
    assert {"hunter%402", "hunter@2", "access-token-77", "from-outside"} <= set(found)
    assert not {"not-ours", "bob", "eve"} & set(found)


def test_the_devices_own_name_is_no_secret() -> None:
    own = replace(SETTINGS, data=DataSection(broker="mqtt://line-1@127.0.0.1"))
    assert "line-1" not in secrets_of(own, {})


@pytest.mark.parametrize(
    "text",
    [
        "event=x password of hunter@2 refused",
        "url mqtts://bob:hunter%402@broker.example:8883 is away",
        '{"note": "hunter@2"}',
        "-----BEGIN PRIVATE KEY-----\nhunter@2\n-----END PRIVATE KEY-----\n",
    ],
)
def test_known_secrets_are_taken_out(text: str) -> None:
    assert "hunter" not in scrub(text, secrets_of(SETTINGS, {}))


@pytest.mark.parametrize(
    "text",
    [
        "https://user:zebra-7@host/path",
        "wss://zebra-7@host",
        "password=zebra-7 next",
        "Password: zebra-7",
        "mqtt_password=zebra-7",
        '{"api_key": "zebra-7", "x": 1}',
        "{'token': 'zebra-7'}",
        "Authorization: Bearer zebra-7zebra-7",
        "-----BEGIN EC PRIVATE KEY-----\nzebra-7\nand no end",
        "aws secret_access_key=zebra-7/x+y",
        "AWS_SECRET_ACCESS_KEY: 'zebra-7'",
        "private_key: zebra-7",
        "pw: zebra-7",
        "pw=zebra-7",
        "db_pwd=zebra-7",
        "MQTT_PASS=zebra-7",
        "passwd zebra",
        "pw zebra",
        "password zebra-7",
        "password 'zebra'",
        "password is 'zebra'",
        "the password is zebra",
        "Password was: zebra-7",
        'passphrase is "a zebra"',
        "token eyJhbGciOiJIUzI1NiJ9.zebra7zebra7.zebra-7_",
        "got eyJhbGciOiJIUzI1NiJ9.zebra7zebra7.zebra-7_ back",
        "curl -u admin:zebra-7 http://h",
        "curl -uadmin:zebra-7 http://h",
        "curl --user 'admin:zebra 7' http://h",
        "curl --user=admin:zebra-7 http://h",
        "['curl', '-u', 'admin:zebra-7', 'http://h']",
        "tool --password zebra",
        "tool --api-key zebra",
        "mosquitto_pub -u bob -P zebra -t t",
        'note={\\"password\\": \\"zebra-7\\"}',
    ],
)
def test_what_looks_like_a_secret_is_taken_out_too(text: str) -> None:
    assert "zebra" not in scrub(text, ())


def test_values_lose_what_is_under_the_name_of_a_secret_and_keep_their_shape() -> None:
    value = {
        "password": "x" * 9,
        "access_token": "zebra-7",
        "pw": "zebra-7",
        "secret_access_key": "zebra-7",
        "tokens": [1, 2],
        "secrets": {"a": "b"},
        "text": 'a "token": "zebra-7" in words, and known-word',
        "list": [{"secret": 5, "url": "mqtt://zebra-7@h:1"}, None, 1.5, True],
        "known-word": "",
    }
    assert scrub_value(value, ("known-word",)) == {
        "password": "***",
        "access_token": "***",
        "pw": "***",
        "secret_access_key": "***",
        "tokens": [1, 2],
        "secrets": {"a": "b"},
        "text": 'a "token": "***" in words, and ***',
        "list": [{"secret": 5, "url": "mqtt://***@h:1"}, None, 1.5, True],
        "***": "",
    }


def test_what_is_no_secret_stays() -> None:
    text = (
        "event=agent_started device=line-1 cloud=https://cloud.example/api basic information\n"
        "mail to a@b.example; sha256:0a1b; key_file=/etc/shoal/line-1.key\n"
        "the password is wrong, the token is missing; password of bob refused; bypass: on\n"
        "the secret has expired; tensor -u is 1:2; primary_key: id; version 1.2.3\n"
    )
    assert scrub(text, ()) == text


def test_the_settings_are_shown_without_users() -> None:
    shown = shown_settings(SETTINGS)
    assert shown["cloud"]["broker"] == "mqtts://***@broker.example:8883"
    assert shown["data"]["broker"] == "mqtt://***@127.0.0.1"
    assert shown["cloud"]["url"] == "https://cloud.example/api"
    assert shown_settings(replace(SETTINGS, data=DataSection()))["data"]["broker"] == ""
