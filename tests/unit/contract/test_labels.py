import pytest
from msgspec import Raw

from edge_agent.contract.labels import Label, Truth, check_label, is_right, message_key
from edge_agent.errors import ContractError

SLOT = "shuttle-anomaly"


def right(value: Truth, outputs: dict[str, bytes], *, output: str = "", off: float = 0.0) -> bool:
    label = Label(slot=SLOT, id=1, value=value, output=output, tolerance=off)
    return is_right(label, {name: Raw(data) for name, data in outputs.items()})


@pytest.mark.parametrize(
    ("value", "key"),
    [(17, "17"), ("17", "17"), (1.5, "1.5"), ("row-7", "row-7")],
)
def test_an_id_is_the_same_as_number_and_as_text(value: object, key: str):
    assert message_key(value) == key


@pytest.mark.parametrize("value", [None, True, [1], {"a": 1}, "x" * 201])
def test_what_is_no_id_has_no_key(value: object):
    assert message_key(value) == ""


def test_the_first_output_is_compared_unless_another_is_named():
    outputs = {"label": b"1", "probabilities": b"[0.1,0.9]", "kind": b'"b"'}
    assert right(1, outputs)
    assert not right(0, outputs)
    assert right("b", outputs, output="kind")
    assert not right("b", outputs, output="missing")


def test_a_number_may_be_off_by_the_tolerance():
    assert right(20.0, {"y": b"20.4"}, off=0.5)
    assert not right(20.0, {"y": b"20.6"}, off=0.5)
    assert right(20.0, {"y": b"[[20.0]]"})
    assert not right(20.0, {"y": b"[20.0,20.0]"})
    assert not right(20.0, {"y": b"null"}), "a model that gives NaN is not right"


def test_the_cells_of_a_table_know_no_types():
    assert right("3", {"label": b"3"})
    assert right(3, {"label": b'"3"'})
    assert not right("1", {"label": b"true"})
    assert right(True, {"label": b"true"})


def test_who_only_knows_whether_it_was_right_says_that():
    assert is_right(Label(slot=SLOT, id=1, right=True), {})
    assert not is_right(Label(slot=SLOT, id=1, right=False), {"label": Raw(b"1")})


@pytest.mark.parametrize(
    "label",
    [
        Label(slot=SLOT, id=1),
        Label(slot=SLOT, id=1, value=1, right=True),
        Label(slot=SLOT, id="", value=1),
        Label(slot=SLOT, id="x" * 300, value=1),
    ],
)
def test_a_label_that_says_nothing_or_two_things_is_refused(label: Label):
    with pytest.raises(ContractError) as caught:
        check_label(label)
    assert caught.value.code == "label_invalid"
    assert caught.value.hint
