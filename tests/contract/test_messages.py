import os
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.contract import manifest, messages, state
from edge_agent.contract.wire import MAX_MESSAGE_BYTES, decode, encode
from edge_agent.errors import ContractError
from tests.support.contract_samples import MANIFEST, SAMPLES
from tests.support.contract_strategies import any_of

GOLDEN = Path(__file__).parent / "golden"
KINDS = {name: type(sample) for name, sample in SAMPLES.items()}
VERSIONED = [kind for kind in KINDS.values() if "v" in kind.__struct_fields__]


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_wire_bytes_of_every_message_are_the_golden_ones(name: str):
    path = GOLDEN / f"{name}.json"
    found = encode(SAMPLES[name])
    if os.environ.get("SHOAL_WRITE_GOLDEN"):  # a change of the wire is made on purpose
        path.write_bytes(found)
    assert path.read_bytes() == found
    assert decode(KINDS[name], path.read_bytes()) == SAMPLES[name]


def test_every_golden_file_has_a_sample():
    assert {p.stem for p in GOLDEN.glob("*.json")} == set(SAMPLES)


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=lambda k: k.__name__)
def test_decoding_gives_back_what_was_encoded(kind: type[msgspec.Struct]):
    @given(any_of(kind))
    def round_trip(message: msgspec.Struct) -> None:
        assert decode(kind, encode(message)) == message

    round_trip()


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=lambda k: k.__name__)
def test_random_bytes_give_a_contract_error_and_nothing_else(kind: type[msgspec.Struct]):
    @given(st.one_of(st.binary(max_size=200), st.from_regex(rb"[\[{\"v:12\]}]*", fullmatch=True)))
    def refused(data: bytes) -> None:
        with pytest.raises(ContractError):
            decode(kind, data)

    refused()


@given(st.data())
def test_a_damaged_message_gives_a_value_or_a_contract_error(data: st.DataObject):
    name = data.draw(st.sampled_from(sorted(SAMPLES)))
    wire = bytearray(encode(SAMPLES[name]))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ContractError):
        assert isinstance(decode(KINDS[name], bytes(wire)), KINDS[name])


@pytest.mark.parametrize("kind", VERSIONED, ids=lambda k: k.__name__)
def test_a_newer_major_version_is_refused_by_name(kind: type[msgspec.Struct]):
    with pytest.raises(ContractError, match=f"{kind.__name__} has version 2") as caught:
        decode(kind, b'{"v": 2, "unheard": "of"}')
    assert caught.value.code == "version_newer"
    assert caught.value.hint


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_unknown_fields_are_ignored(name: str):
    wire = encode(SAMPLES[name])
    assert decode(KINDS[name], b'{"brand_new": [1, {"x": 2}], ' + wire[1:]) == SAMPLES[name]


def test_a_message_over_the_bound_is_refused_before_it_is_parsed():
    with pytest.raises(ContractError) as caught:
        decode(messages.Ack, b"[" * (MAX_MESSAGE_BYTES + 1))
    assert caught.value.code == "too_large"


def test_deep_nesting_is_a_contract_error():
    with pytest.raises(ContractError):
        decode(messages.Ack, b"[" * 500_000)
    with pytest.raises(ContractError):
        decode(messages.Ack, b'{"x":' + b"[" * 500_000)


def test_the_canonical_manifest_does_not_depend_on_the_order_of_its_maps():
    other = msgspec.structs.replace(
        MANIFEST,
        model=msgspec.structs.replace(
            MANIFEST.model, opsets=dict(reversed(MANIFEST.model.opsets.items()))
        ),
    )
    assert manifest.canonical(other) == manifest.canonical(MANIFEST)
    assert manifest.read_manifest(manifest.canonical(MANIFEST)) == MANIFEST


@given(any_of(manifest.Manifest))
def test_a_manifest_read_back_has_the_same_digest(value: manifest.Manifest):
    again = manifest.read_manifest(manifest.canonical(value))
    assert manifest.manifest_digest(again) == manifest.manifest_digest(value)


def test_an_undefined_transition_is_an_error():
    assert state.check_transition(state.Phase.TRIAL, state.Phase.ACTIVE) is state.Phase.ACTIVE
    with pytest.raises(ContractError, match="absent to active"):
        state.check_transition(state.Phase.ABSENT, state.Phase.ACTIVE)


def test_every_phase_has_a_way_out_and_a_way_in():
    assert set(state.TRANSITIONS) == set(state.Phase)
    for phase in state.Phase:
        assert state.TRANSITIONS[phase]
        assert any(phase in after for after in state.TRANSITIONS.values())
