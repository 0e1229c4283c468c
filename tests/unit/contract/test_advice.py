"""Every code that a step can fail with says what to do. The codes are collected from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.contract.advice import UNKNOWN, WHAT_TO_DO, what_to_do

ROOT = Path(__file__).parents[3] / "edge_agent"

FAILING = (
    "errors.py",
    "contract",
    "store",
    "link",
    "runtime",
    "reconcile",
    "daemon/supervisor.py",
    "daemon/worker.py",
)
"""Where a step's error, or that of a worker's process, can come from."""

OF_A_MESSAGE = frozenset({"MessageError", "FieldFault", "_Fault", "DoorReply"})
"""Errors of one message: answered and counted, never a slot's. `topics.md` explains them."""

NEVER_A_SLOTS = {
    "database_missing": "of who only looks at the state directory",
    "frame_too_large": "of the local HTTP server's connection to a worker",
    "frame_unreadable": "of the local HTTP server's connection to a worker",
    "lock_too_long": "of who asks for a lock",
    "too_many_locks": "of who asks for a lock",
    "label_invalid": "of a delayed label, which only the service reads",
    "message_invalid": "of one message",
    "mirror_invalid": "of a shadow's socket; the frame is left out and counted",
    "mqtt_malformed": "ends a connection, which is made anew",
    "state_dir_in_use": "the agent does not start",
}


def test_every_code_that_a_step_can_fail_with_says_what_to_do() -> None:
    codes = collect()
    assert len(codes) > 60, "the collection finds what is there"
    missing = {
        code: place
        for code, place in codes.items()
        if code not in WHAT_TO_DO and code not in NEVER_A_SLOTS
    }
    assert missing == {}, "say what to do about it in edge_agent/contract/advice.py"


def test_no_advice_is_left_for_a_code_that_is_gone() -> None:
    codes = collect().keys()
    assert sorted(set(WHAT_TO_DO) - codes) == []
    assert sorted(set(NEVER_A_SLOTS) - codes) == []
    assert sorted(set(NEVER_A_SLOTS) & set(WHAT_TO_DO)) == []


@pytest.mark.parametrize("code", sorted(WHAT_TO_DO))
def test_an_advice_is_whole_sentences(code: str) -> None:
    text = what_to_do(code)
    assert text[0].isupper()
    assert text.endswith(".")
    assert "  " not in text


def test_a_code_of_a_newer_agent_is_answered_too() -> None:
    assert what_to_do("invented_later") == UNKNOWN


def sources() -> Iterator[Path]:
    for name in FAILING:
        path = ROOT / name
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def collect() -> dict[str, str]:
    """Code to where it stands."""
    trees = {path: ast.parse(path.read_text()) for path in sources()}
    constants = {
        node.target.id: node.value.value
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    codes = {}
    for path, tree in trees.items():
        for value in [value for node in ast.walk(tree) for value in _codes_in(node)]:
            for part in ast.walk(value):
                found = constants.get(part.id) if isinstance(part, ast.Name) else None
                found = part.value if isinstance(part, ast.Constant) else found
                if isinstance(found, str) and found:
                    codes[found] = f"{path.relative_to(ROOT)}:{value.lineno}"
    return codes


def _codes_in(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions of a node that are codes of errors."""
    match node:
        case ast.Call(func=ast.Name(id=name), keywords=keywords, args=args):
            if name not in OF_A_MESSAGE:
                yield from (word.value for word in keywords if word.arg == "code")
            if name == "_error" and args and isinstance(args[0], ast.Constant):
                yield args[0]
        case ast.AnnAssign(target=ast.Name(id="default_code"), value=ast.expr() as value):
            yield value
        case ast.Assign(targets=[ast.Name(id="default_code")], value=value):
            yield value
        # Patterns of onnxruntime's texts: the pattern, the code, the meaning.
        case ast.AnnAssign(target=ast.Name(id="_LOAD_FAILURES"), value=ast.Tuple(elts=rows)):
            yield from (row.elts[1] for row in rows if isinstance(row, ast.Tuple))
        case _:
            return
