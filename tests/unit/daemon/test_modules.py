"""What a person means who names a module: its files, or the slot that runs."""

from pathlib import Path

import pytest

from edge_agent.config import AgentSection, Settings
from edge_agent.contract.state import Phase
from edge_agent.daemon.modules import request_for
from edge_agent.errors import ConfigError, ContractError, NotFound
from edge_agent.store.journal import Journal
from edge_agent.store.slots import Installed, SlotRecord

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A device on which the slot `look` runs; the working directory is beside its files."""
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    journal = Journal(state_dir)
    serving = Installed(module="look", version=3, digest=DIGEST)
    journal.put_slot(SlotRecord(slot="look", phase=Phase.ACTIVE, active=serving))
    journal.close()
    monkeypatch.chdir(tmp_path)
    return Settings(agent=AgentSection(device="line-1", state_dir=str(state_dir)))


def test_a_slot_is_taken_without_a_word_where_nothing_else_has_its_name(
    settings: Settings,
) -> None:
    request, note = request_for("look", b"{}", lambda: settings)
    assert (request.slot, request.version, request.device, note) == ("look", 3, "line-1", "")


def test_a_slot_is_preferred_to_a_folder_that_is_no_built_module_and_that_is_said(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "look").mkdir()
    request, note = request_for("look", b"{}", lambda: settings)
    assert (request.slot, request.version) == ("look", 3)
    assert note == "folder look holds no built module: taking slot look of this device"


@pytest.mark.parametrize("place", ["look", "look/build"])
def test_a_built_module_is_preferred_to_a_slot(
    settings: Settings, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")  # not even a broken one is passed over
    with pytest.raises(ContractError, match="Manifest is malformed"):
        request_for("look", b"{}", lambda: settings)


def test_a_folder_that_is_not_built_says_how_where_no_slot_has_its_name(
    settings: Settings, tmp_path: Path
) -> None:
    def none() -> Settings:
        raise ConfigError("there is no settings file")

    (tmp_path / "other").mkdir()
    for given in (lambda: settings, none):
        with pytest.raises(NotFound, match="holds no manifest") as refused:
            request_for("other", b"{}", given)
        assert "shoal module build other" in refused.value.hint
