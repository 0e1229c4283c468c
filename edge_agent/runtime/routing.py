"""Where answers go: from a message's topic to its result's, and whether a request may name its own.

Decides by topics alone; nothing is sent here.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from edge_agent.contract.routes import ERROR_SUFFIX, request_of
from edge_agent.contract.topics import captures, check_data_topic, expand_output
from edge_agent.errors import ContractError, MessageError

_MAX_KNOWN: Final = 4096
"""Topics whose routes are remembered."""

_MAX_LENGTH: Final = 1024
"""Of a topic that is remembered; a topic may have 64 kB."""

V = TypeVar("V")

_encode: Final = msgspec.json.Encoder().encode


class Route(Struct, frozen=True, gc=False):
    """What follows from a message's topic.

    Attributes:
        source: the topic that windows and states are kept by: a request's without its address.
        result: topic of results.
        error: topic of errors.
        topic_json: the message's own topic as JSON.
    """

    source: str
    result: str
    error: str
    topic_json: bytes


class Router:
    """The routes of one slot.

    Args:
        input_filter: prefix included.
        template: of the output topic, prefix included.
        device: its name.
        reply_filters: topics that a request may name for its answer, prefix included.
        own_filters: what the module reads; a reply there would be read again.
    """

    def __init__(
        self,
        input_filter: str,
        template: str,
        *,
        device: str,
        reply_filters: Sequence[str],
        own_filters: Sequence[str],
    ) -> None:
        self._filter = input_filter
        self._template = template
        self._device = device
        self._reply_filters = reply_filters
        self._own_filters = own_filters
        self._routes: dict[str, Route] = {}
        self._replies: dict[str, bool] = {}

    def route(self, topic: str) -> Route:
        """The route of a message.

        Raises:
            ContractError: `topic_mismatch`, or it makes an impossible output topic; there is no
                topic that an error could be published on.
        """
        return self._routes.get(topic) or self._find(topic)

    def checked_reply(self, topic: str) -> str:
        """A topic that a request names for its answer, if it may.

        Raises:
            MessageError: `reply_refused`.
        """
        may = self._replies.get(topic)
        if may is None:
            may = self._may_reply(topic)
            _remember(self._replies, topic, may)
        if not may:
            raise MessageError(
                f"reply topic expected one that matches {' or '.join(self._reply_filters) or '-'}, "
                f"found {topic[:200]!r}",
                code="reply_refused",
                hint="output.reply of the module lists what is allowed",
            )
        return topic

    def _find(self, topic: str) -> Route:
        source = topic
        caught = captures(self._filter, topic)
        response = ""
        if caught is None and (request := request_of(topic)) is not None:
            source, response = request
            caught = captures(self._filter, source)
        if caught is None:
            raise ContractError(
                f"topic {topic!r} does not match the input {self._filter!r}",
                code="topic_mismatch",
                hint="use a topic that the module's input.topic matches",
            )
        check_data_topic(topic)  # or there would be no JSON that names it
        result = response or expand_output(self._template, caught, self._device)
        error = response or result + ERROR_SUFFIX
        check_data_topic(error)
        route = Route(source, result, error, _encode(topic))
        _remember(self._routes, topic, route)
        return route

    def _may_reply(self, topic: str) -> bool:
        try:
            check_data_topic(topic)
        except ContractError:
            return False
        if any(captures(own, topic) is not None for own in self._own_filters):
            return False
        return any(captures(allowed, topic) is not None for allowed in self._reply_filters)


def _remember(known: dict[str, V], topic: str, value: V) -> None:
    if len(topic) > _MAX_LENGTH:
        return
    if len(known) >= _MAX_KNOWN:
        known.clear()
    known[topic] = value
