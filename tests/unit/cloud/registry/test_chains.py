"""Cycles of modules, by every way that messages take through them."""

import pytest

from cloud_sync.registry.chains import find_cycle, link_of
from edge_agent.contract.manifest import Blob, Manifest
from edge_agent.contract.state import SlotConfig
from tests.support.cloud import manifest_of

BLOB = Blob(path="model.onnx", digest=f"sha256:{1:064x}", size=1)


def module(name: str, reads: str, writes: str) -> Manifest:
    return manifest_of(BLOB, name, reads, writes)


def cycle(new: Manifest, *others: Manifest) -> tuple[str, ...]:
    return find_cycle(link_of(new), [link_of(other) for other in others])


def test_a_chain_is_no_cycle() -> None:
    assert cycle(module("b", "middle/+", "end/{1}"), module("a", "raw/+", "middle/{1}")) == ()


def test_results_that_come_back_are_a_cycle() -> None:
    first = module("a", "raw/+", "middle/{1}")
    assert cycle(module("b", "middle/+", "raw/{1}"), first) == ("b", "a", "b")


def test_errors_that_come_back_are_a_cycle() -> None:
    assert cycle(module("b", "middle/x/error", "raw/b"), module("a", "raw/+", "middle/x")) == (
        *("b", "a", "b"),
    )


@pytest.mark.parametrize("is_asker_new", [True, False])
def test_asking_another_module_and_reading_its_response_is_a_cycle(is_asker_new: bool) -> None:
    asker = module("asker", "rows/+/response/+", "rows/{1}/request/{2}")
    asked = module("asked", "rows/+", "results/{1}")
    new, other = (asker, asked) if is_asker_new else (asked, asker)
    assert cycle(new, other) == (new.name, other.name, new.name)


def test_a_cycle_may_lead_through_a_module_in_between() -> None:
    asker = module("asker", "tidy/+", "rows/{1}/request/1")
    asked = module("asked", "rows/+", "results/{1}")
    between = module("between", "rows/+/response/+", "tidy/{1}")
    assert cycle(asker, asked, between) == ("asker", "asked", "between", "asker")
    assert cycle(between, asked, asker) == ("between", "asker", "asked", "between")


def test_asking_without_reading_the_response_is_a_chain() -> None:
    asker = module("asker", "raw/+", "rows/{1}/request/1")
    asked = module("asked", "rows/+", "raw/{1}")
    # What is asked is answered on the response topic, and not on `raw`.
    assert cycle(asker, asked) == ()
    assert cycle(module("listener", "rows/+/response/+", "end/{1}"), asked, asker) == ()


def test_a_module_without_requests_has_one_way_only() -> None:
    everything = module("all", "rows/#", "all")
    assert len(link_of(everything).ways) == 1
    assert cycle(module("asker", "rows/x/response/1", "rows/x/request/1"), everything) == ()


def test_a_deployment_is_compared_with_the_topics_that_it_sets_itself() -> None:
    asked = link_of(module("asked", "rows/+", "results/{1}"), slot="first")
    asker = module("asker", "raw/+", "end/{1}")
    config = SlotConfig(
        input_topic="rows/{device}/response/+", output_topic="rows/{device}/request/{1}"
    )
    new = link_of(asker, slot="second", config=config, device="line-1")
    assert find_cycle(new, [asked]) == ("second", "first", "second")
    assert find_cycle(link_of(asker, slot="second", device="line-1"), [asked]) == ()
