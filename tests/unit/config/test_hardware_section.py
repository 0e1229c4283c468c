"""Settings of the hardware: lists in the file and in the environment, and wrong names."""

from pathlib import Path

import pytest

from edge_agent.config import HardwareSection, Settings, parse
from edge_agent.errors import ConfigError


def read(text: str, **environment: str) -> Settings:
    whole = f'[agent]\ndevice = "line-1"\n[hardware]\n{text}'
    return parse(whole, environment, source="agent.toml", folder=Path("/etc/shoal"))


def test_nothing_is_preferred_unless_it_is_set() -> None:
    assert read("").hardware == HardwareSection()
    assert HardwareSection().providers == ()


def test_lists_come_from_the_file_and_from_the_environment() -> None:
    text = 'providers = ["tensorrt", "CUDAExecutionProvider"]\noptions = ["cuda.device_id=1"]\n'
    assert read(text).hardware.providers == ("tensorrt", "CUDAExecutionProvider")
    changed = read(
        text,
        EDGE_AGENT_HARDWARE_PROVIDERS="openvino, cuda",
        EDGE_AGENT_HARDWARE_OPTIONS="",
        EDGE_AGENT_HARDWARE_MAX_THREADS="2",
    ).hardware
    assert changed == HardwareSection(providers=("openvino", "cuda"), max_threads=2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('providers = ["gpu"]\n', r"line 4: hardware\.providers.*found 'gpu'"),
        ('options = ["device_type=GPU"]\n', r"line 4: hardware\.options expected|openvino"),
        ('options = ["cuda"]\n', r"PROVIDER\.OPTION=VALUE"),
        ("max_threads = -1\n", r"hardware\.max_threads"),
        ('providers = "cuda"\n', r"hardware\.providers"),
    ],
)
def test_wrong_settings_are_told_with_their_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(text)
    with pytest.raises(ConfigError, match="EDGE_AGENT_HARDWARE_PROVIDERS"):
        read("", EDGE_AGENT_HARDWARE_PROVIDERS="cuda,gpu")
