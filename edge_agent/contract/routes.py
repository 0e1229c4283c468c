"""Routes: which topics a module reads, and whether its input and output can be used together.

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

REQUEST_LEVEL: Final = "request"
RESPONSE_LEVEL: Final = "response"

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


def request_filter(topic_filter: str) -> str:
    """Where requests for a module are sent that carry their address in the topic.

    None of these topics matches the input filter itself, so no message comes twice.

    Args:
        topic_filter: the module's input filter, prefix included or not.

    Returns:
        A filter; empty where the input filter ends in '#': such a module would read its own
        responses.
    """
    return "" if topic_filter.split("/")[-1] == "#" else f"{topic_filter}/{REQUEST_LEVEL}/+"


def response_filter(topic_filter: str) -> str:
    """Where the answers to the requests of `request_filter` go; for the same filters only."""
    return f"{topic_filter}/{RESPONSE_LEVEL}/+"


def input_filters(
    manifest: Manifest, config: SlotConfig, *, device: str, prefix: str
) -> tuple[str, ...]:
    """All that a module subscribes to: its input filter, and the one of requests if it has one."""
    messages = input_filter(manifest, config, device=device, prefix=prefix)
    requests = request_filter(messages)
    return (messages, requests) if requests else (messages,)


def request_of(topic: str) -> tuple[str, str] | None:
    """The source topic of a request and the topic of its response; None for any other topic.

    `a/b/request/7` asks what `a/b` would, and is answered on `a/b/response/7`.
    """
    source, _, request_id = topic.rpartition("/")
    source, _, level = source.rpartition("/")
    if level != REQUEST_LEVEL or not source or not request_id:
        return None
    return source, f"{source}/{RESPONSE_LEVEL}/{request_id}"


def reply_filters(manifest: Manifest, *, device: str, prefix: str) -> tuple[str, ...]:
    """The topics on which a request may ask for its answer, prefix included."""
    return tuple(prefix + expand_device(reply, device) for reply in manifest.output.reply)


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


def filter_problems(topic_filter: str, what: str = "input topic") -> Iterator[str]:
    """What is wrong with a filter of a manifest by itself.

    Args:
        topic_filter: `input.topic`, or one of `output.reply`; `{device}` is allowed.
        what: the filter is, for the sentence.
    """
    readable = expand_device(topic_filter, _SOME_DEVICE)
    try:
        check_filter(readable)
    except ContractError as error:
        yield f"{what}: {error.text}"
        return
    if "{" in readable or "}" in readable:
        yield f"{what} {topic_filter!r}: the only placeholder here is {{device}}"


def template_problems(template: str, topic_filter: str) -> Iterator[str]:
    """What is wrong with an output template for an input filter."""
    readable = expand_device(topic_filter, _SOME_DEVICE)
    try:
        check_output_template(template, topic_filter)
    except ContractError as error:
        yield error.text
        return
    written = template_as_filter(expand_device(template, _SOME_DEVICE), readable)
    for reads in filter(None, (readable, request_filter(readable))):
        if filters_overlap(reads, written):
            yield _cycle(template, "results", reads)
            return
        if filters_overlap(reads, written + ERROR_SUFFIX):
            yield _cycle(template, "errors", reads)
            return


def _cycle(template: str, what: str, reads: str) -> str:
    return (
        f"output topic {template!r}: the module's own {what} would match its input "
        f"{reads!r} and be read again"
    )
