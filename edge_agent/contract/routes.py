"""Routes: whether a module's input filter and output topic can be used together.

A module whose results, or whose errors, come back to its own input would feed itself for ever.
Pure.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from edge_agent.contract.manifest import Manifest, Output
from edge_agent.contract.state import SlotConfig
from edge_agent.contract.topics import (
    check_filter,
    check_output_template,
    expand_device,
    filters_overlap,
    template_as_filter,
)
from edge_agent.errors import ContractError

ERROR_SUFFIX: Final = "/error"
"""Errors go to the output topic with this behind it."""

_SOME_DEVICE: Final = "device"


def input_filter(manifest: Manifest, config: SlotConfig, *, device: str, prefix: str) -> str:
    """What a module subscribes to in a slot.

    Args:
        manifest: of the module.
        config: of the slot; its input topic wins over the manifest's.
        device: its name.
        prefix: put before every data topic, or empty.
    """
    return prefix + expand_device(config.input_topic or manifest.input.topic, device)


def route_problems(topic_filter: str, template: str) -> Iterator[str]:
    """What is wrong with an input filter and an output template, one sentence each.

    Args:
        topic_filter: `input.topic` of a manifest; `{device}` is allowed.
        template: `output.topic` of a manifest.
    """
    yield from filter_problems(topic_filter)
    yield from template_problems(template, topic_filter)


def config_problems(manifest: Manifest, config: SlotConfig) -> Iterator[str]:
    """What is wrong with what a deployment changes about a module, one sentence each."""
    yield from route_problems(
        config.input_topic or manifest.input.topic,
        config.output_topic or manifest.output.topic,
    )
    if config.uplink:
        try:
            msgspec.convert({"topic": "x", "uplink": config.uplink}, Output)
        except msgspec.ValidationError:
            yield f"uplink expected all, changes, none or sample:F, found {config.uplink!r}"


def filter_problems(topic_filter: str) -> Iterator[str]:
    """What is wrong with an input filter by itself."""
    readable = expand_device(topic_filter, _SOME_DEVICE)
    try:
        check_filter(readable)
    except ContractError as error:
        yield f"input topic: {error.text}"
        return
    if "{" in readable or "}" in readable:
        yield f"input topic {topic_filter!r}: the only placeholder here is {{device}}"


def template_problems(template: str, topic_filter: str) -> Iterator[str]:
    """What is wrong with an output template for an input filter."""
    readable = expand_device(topic_filter, _SOME_DEVICE)
    try:
        check_output_template(template, topic_filter)
    except ContractError as error:
        yield error.text
        return
    written = template_as_filter(expand_device(template, _SOME_DEVICE), readable)
    if filters_overlap(readable, written):
        yield _cycle(template, "results", topic_filter)
    elif filters_overlap(readable, written + ERROR_SUFFIX):
        yield _cycle(template, "errors", topic_filter)


def _cycle(template: str, what: str, topic_filter: str) -> str:
    return (
        f"output topic {template!r}: the module's own {what} would match its input "
        f"{topic_filter!r} and be read again"
    )
