"""Checks of what models run on: onnxruntime, in a process of its own, and its providers."""

from collections.abc import Iterator

from edge_agent.config import HardwareSection
from edge_agent.contract.providers import choose, full_name, parse_options, short_name
from edge_agent.daemon.check.finding import Finding, attempt
from edge_agent.errors import ShoalError
from edge_agent.runtime.probe import probe
from edge_agent.runtime.provider_probe import probe_providers


def check_hardware(section: HardwareSection) -> Iterator[Finding]:
    """Try onnxruntime, then each provider anew, whatever the agent knows."""
    yield attempt("onnxruntime", "fail", _runtime)
    try:
        found = probe_providers(parse_options(section.options)).providers
    except ShoalError:
        return  # the check of onnxruntime has told
    choice = choose((), section.providers, found)
    usable = ", ".join(short_name(name) for name, reason in found.items() if not reason)
    yield Finding(
        name="providers",
        state="warn" if choice.notes else "ok",
        text="; ".join((f"usable: {usable or 'none'}", *choice.notes)),
        hint="install what it needs, or take it out of hardware.providers" if choice.notes else "",
    )
    for name, reason in found.items():
        if reason and full_name(name) not in map(full_name, section.providers):
            text = f"{short_name(name)} is offered and cannot be used: {reason}"
            yield Finding(name="providers", state="ok", text=text)


def _runtime() -> str:
    facts = probe()
    return f"onnxruntime {facts.onnxruntime}, numpy {facts.numpy}"
