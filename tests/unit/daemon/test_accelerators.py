"""When providers have to be tried again."""

import pytest

from edge_agent.daemon.accelerators import cpu_model, digest, fingerprint, parse_cpu_model

X86 = "processor\t: 0\nmodel name\t: AMD  EPYC 7\nflags\t: x\n\nmodel name: B\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\nCPU revision\t: 3\n"


@pytest.mark.parametrize(
    ("cpuinfo", "board", "name"),
    [
        (X86, "", "AMD EPYC 7"),
        (ARM, "Raspberry Pi 4 Model B Rev 1.4\0", "0x41 0xd08 3 Raspberry Pi 4 Model B Rev 1.4"),
        (ARM, "", "0x41 0xd08 3"),
        ("", "", "unknown"),
    ],
)
def test_a_processor_has_a_name(cpuinfo: str, board: str, name: str) -> None:
    assert parse_cpu_model(cpuinfo, board) == name


def test_this_machine_has_a_name_that_stays() -> None:
    assert cpu_model() == cpu_model() != ""


def test_the_fingerprint_stays_and_changes_with_the_owners_options() -> None:
    plain = fingerprint({})
    assert fingerprint({}) == plain
    assert fingerprint({"XExecutionProvider": {"a": "1"}}) != plain
    assert digest(("a", "b")) != digest(("ab", "")) != digest(("b", "a"))
