"""The service's settings."""

from pathlib import Path

import pytest

from cloud_sync.config import TEMPLATE, HttpSettings, Settings, load
from cloud_sync.errors import ConfigError, Conflict
from cloud_sync.listener import check_reach, is_loopback, listen


def test_the_template_is_the_defaults(tmp_path: Path) -> None:
    commented = tmp_path / "a.toml"
    commented.write_text(TEMPLATE.format(data_dir="data"))
    # Uncommented, it must say the same: nobody should be misled by it.
    lines = [
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in TEMPLATE.format(data_dir="data").splitlines()
    ]
    plain = tmp_path / "b.toml"
    plain.write_text("\n".join(lines))
    assert load(commented, {}) == load(plain, {})
    assert load(commented, {}).http == HttpSettings()


def test_the_data_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cloud-sync.toml"
    file.write_text('[service]\ndata_dir = "there"\n')
    assert load(file, {}).service.data_dir == str(tmp_path / "there")


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cloud-sync.toml"
    file.write_text("[http]\nport = 1\n")
    assert load(file, {"CLOUD_SYNC_HTTP_PORT": "2"}).http.port == 2


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[http]\nprot = 1\n", "line 2: unknown key 'prot'"),
        ("[http]\nport = 1 2\n", "line 2, column 10"),
        (
            "[retention]\nhour = 24\n",
            "retention.hour expected a whole number <= 23; found the number 24",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, part: str) -> None:
    file = tmp_path / "cloud-sync.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert part in caught.value.text


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "none.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"[http]\n\xff\xfe")
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        load(tmp_path / "binary.toml", {})


def test_only_loopback_is_listened_on_unless_allowed() -> None:
    assert check_reach(Settings()) == ""
    remote = Settings(http=HttpSettings(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="no login yet"):
        check_reach(remote)
    allowed = Settings(http=HttpSettings(host="0.0.0.0", allow_remote=True))
    assert "there is no login yet" in check_reach(allowed)
    assert [is_loopback(h) for h in ("127.0.0.9", "::1", "example.org")] == [True, True, False]


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Conflict, match=r"cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", 0)
