"""Certificates that cannot be used are found at the start, also where no URL asks for TLS."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from edge_agent.config import AgentSection, Settings
from edge_agent.daemon.tls_files import unusable_files
from tests.support.dated_certificates import DAY_S, issue

NOW = 1_800_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(agent=AgentSection(device="line-1", state_dir=str(tmp_path)))


def test_settings_without_certificates_have_nothing_to_find(settings: Settings) -> None:
    assert list(unusable_files(settings)) == []


@pytest.mark.parametrize("field", ["ca_file", "cert_file"])
@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_that_is_missing_or_none_is_named_with_its_section(
    settings: Settings, tmp_path: Path, field: str, content: bytes | None
) -> None:
    file = tmp_path / "device.pem"
    if content is not None:
        file.write_bytes(content)
    assert settings.cloud.url.startswith("http:")
    cloud = replace(settings.cloud, **{field: str(file)})
    (found,) = unusable_files(replace(settings, cloud=cloud))
    assert (found.code, str(file) in found.text) == ("certificate_unreadable", True)
    data = replace(settings.data, **{field: str(file)})
    (found,) = unusable_files(replace(settings, data=data))
    assert "[data]" in found.text


@pytest.mark.parametrize(("password", "count"), [(None, 0), (b"secret", 1)])
def test_a_key_that_needs_a_password_is_found_without_asking_for_it(
    settings: Settings, tmp_path: Path, password: bytes | None, count: int
) -> None:
    own = issue(tmp_path, "line-1", not_before=NOW - 1, not_after=NOW + DAY_S, password=password)
    cloud = replace(settings.cloud, cert_file=str(own.cert_file), key_file=str(own.key_file))
    assert len(list(unusable_files(replace(settings, cloud=cloud)))) == count
