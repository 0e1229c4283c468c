"""Golden cases: what passes, what fails and in which words."""

import base64
from typing import Any

import msgspec
import pytest

from edge_agent.contract.manifest import Health, Input, Tensor, Window, canonical, manifest_digest
from edge_agent.contract.signature import TensorSpec
from edge_agent.errors import ContractError, ModelError
from edge_agent.runtime.engine import Engine
from edge_agent.runtime.golden import GoldenReport, check_golden, parse_golden, refuse_slow
from tests.support.models import fields, linear_model, manifest_of

ROW = {"a": 1, "b": 2, "c": 3}  # linear_model gives 1 + 4 + 9 + 0.5


def engine(window: Window | None = None, prefix: str = "") -> Engine:
    model = linear_model() if window is None else linear_model((1.0, 10.0))
    letters = ("a", "b", "c") if window is None else ("a",)
    manifest = manifest_of(
        model,
        [TensorSpec("X", "float32", (-1, 3 if window is None else 2))],
        [TensorSpec("score", "float32", (-1, 1))],
        [Tensor(name="X", source="fields", fields=fields(*letters))],
        source=Input(topic="sensors/+/rows", window=window),
        health=Health(tolerance=0.01),
    )
    return Engine.load(
        canonical(manifest),
        manifest_digest(manifest),
        model,
        device="d",
        slot="s",
        topic_prefix=prefix,
    )


def check(golden: object, **options: Any) -> GoldenReport:
    return check_golden(engine(**options), parse_golden("g.json", msgspec.json.encode(golden)))


def test_right_cases_pass_with_the_largest_difference() -> None:
    encoded = base64.b64encode(msgspec.json.encode(ROW)).decode()
    report = check(
        [
            {"payload": ROW, "outputs": {"score": [14.5]}},
            {"name": "raw", "payload_base64": encoded, "outputs": {"score": [14.6]}},
            {"topic": "sensors/x/rows", "payload": [ROW, ROW], "outputs": {"score": [[14.5]] * 2}},
        ],
        prefix="data/d/",
    )
    assert report.cases == 3
    assert report.max_difference == pytest.approx(0.1, abs=1e-6)
    assert report.p99_ms > 0


def test_windows_are_filled_by_several_messages_and_begin_empty() -> None:
    case = {"payloads": [{"a": 1}, {"a": 2}], "outputs": {"score": [21.5]}}
    assert check([case, case], window=Window(size=2, step=1)).cases == 2
    with pytest.raises(ModelError, match="do not fill a window"):
        check({"payload": {"a": 1}, "outputs": {"score": [1]}}, window=Window(size=2, step=1))


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ({"payload": ROW, "outputs": {"score": [15]}}, "golden_failed", r"score\[0\] expected 15"),
        ({"payload": ROW, "outputs": {"score": 14.5}}, "golden_failed", "a list of 1"),
        ({"payload": ROW, "outputs": {"score": ["14.5"]}}, "golden_failed", "found 14.5"),
        ({"payload": ROW, "outputs": {"score": [None]}}, "golden_failed", "expected null"),
        ({"payload": ROW, "outputs": {"label": 1}}, "golden_failed", "computes score"),
        ({"payload": {"a": 1}, "outputs": {"score": [1]}}, "golden_refused", "missing: b"),
    ],
)
def test_a_wrong_case_names_file_output_expected_and_found(
    case: object, code: str, words: str
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        check([case])
    assert caught.value.code == code
    assert "g.json[0]" in caught.value.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "g.json"),
        (b"[]", "holds no case"),
        (b"{}", "outputs"),
        (b'{"payload": 1, "outputs": {}}', "expects no output"),
        (b'{"outputs": {"a": 1}}', "exactly one of"),
        (b'{"payload": 1, "payloads": [1], "outputs": {"a": 1}}', "found 2"),
        (b'{"payload_base64": "%%", "outputs": {"a": 1}}', "base64"),
        (b'{"payload": 1, "output": {"a": 1}, "outputs": {"a": 1}}', "output"),
        (b'[{"name": "n", "payloads": [], "outputs": {"a": 1}}]', r"g\.json\[0\] 'n'"),
        (b"\xff", "g.json"),
    ],
)
def test_what_is_no_golden_file_is_refused_with_the_place(data: bytes, words: str) -> None:
    with pytest.raises(ContractError, match=words) as caught:
        parse_golden("g.json", data)
    assert caught.value.code == "golden_invalid"


def test_a_bound_on_latency_is_kept() -> None:
    report = GoldenReport(cases=1, p99_ms=2.0, max_difference=0)
    refuse_slow(report, 0)
    refuse_slow(report, 2.0)
    with pytest.raises(ModelError, match=r"within 1\.5 ms, found 2") as caught:
        refuse_slow(report, 1.5)
    assert caught.value.code == "too_slow"
