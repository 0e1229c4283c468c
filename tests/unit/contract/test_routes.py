"""Which topics a module reads, and where its answers may go."""

import msgspec
import pytest

from edge_agent.contract.fit import fit_problems
from edge_agent.contract.manifest import Manifest, Output, Tensor
from edge_agent.contract.routes import (
    input_filters,
    reply_filters,
    request_filter,
    request_of,
    route_problems,
)
from edge_agent.contract.signature import TensorSpec
from edge_agent.contract.state import SlotConfig
from edge_agent.contract.topics import captures, filters_overlap
from tests.support.models import fields, linear_model, manifest_of


def linear(**options: object) -> Manifest:
    return manifest_of(
        linear_model(),
        [TensorSpec("X", "float32", (-1, 3))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="fields", fields=fields("a", "b", "c"))],
        output=Output(topic="results/{1}", **options),  # type: ignore[arg-type]
    )


def test_a_module_reads_messages_and_requests() -> None:
    filters = input_filters(linear(), SlotConfig(), device="d", prefix="data/d/")
    assert filters == ("data/d/sensors/+/rows", "data/d/sensors/+/rows/request/+")


@pytest.mark.parametrize("topic_filter", ["a", "a/+", "+", "+/+/+/+", "a/request/+", "request/+"])
def test_no_topic_is_a_message_and_a_request(topic_filter: str) -> None:
    assert not filters_overlap(topic_filter, request_filter(topic_filter))


@pytest.mark.parametrize("topic_filter", ["a", "a/+", "+", "+/+/+/+", "response/+", "+/response/+"])
def test_no_response_is_read_again(topic_filter: str) -> None:
    source = topic_filter.replace("+", "x")
    found = request_of(f"{source}/request/7")
    assert found == (source, f"{source}/response/7")
    for reads in (topic_filter, request_filter(topic_filter)):
        assert captures(reads, found[1]) is None


def test_a_module_that_reads_everything_below_a_level_takes_no_requests_by_topic() -> None:
    assert request_filter("a/#") == ""
    config = SlotConfig(input_topic="a/#")
    assert input_filters(linear(), config, device="d", prefix="p/") == ("p/a/#",)


@pytest.mark.parametrize(
    "topic", ["a", "a/request", "request/7", "a/request/", "/request/7", "a/b/7"]
)
def test_other_topics_are_no_requests(topic: str) -> None:
    assert request_of(topic) is None


def test_results_that_would_be_read_as_requests_are_refused() -> None:
    assert "be read again" in "".join(route_problems("a/+", "a/{1}/request/x"))
    assert "errors" in "".join(route_problems("+/b", "{1}/b/request"))
    assert not list(route_problems("a/+", "a/{1}/response/x"))


def test_reply_filters_stand_below_the_prefix() -> None:
    manifest = linear(reply=("replies/{device}/#", "x/+"))
    assert reply_filters(manifest, device="d", prefix="p/") == ("p/replies/d/#", "p/x/+")


@pytest.mark.parametrize("reply", ["a/#/b", "", "shoal/v1/x", "a/{1}", "$SYS/#", "a b"])
def test_a_reply_filter_that_is_none_is_refused_when_the_module_is_built(reply: str) -> None:
    problems = [problem.text for problem in fit_problems(linear(reply=("ok/#", reply)))]
    assert len(problems) == 1
    assert problems[0].startswith("reply filter")


def test_a_module_may_allow_no_replies() -> None:
    assert (
        list(fit_problems(msgspec.structs.replace(linear(), output=Output(topic="r", reply=()))))
        == []
    )
