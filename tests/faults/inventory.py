"""What must be walked, read from the agent's own source: nobody has to keep a list.

Reads files and never runs them; what is new in the code is new here.
"""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import edge_agent.store
from edge_agent.reconcile import steps, transition

STORE: Final = Path(edge_agent.store.__file__).parent

_CHANGING: Final = frozenset(
    {
        *("chmod", "fallocate", "fchmod", "fsync", "ftruncate", "hardlink_to", "link", "mkdir"),
        *("posix_fallocate", "pwrite", "rename", "rmdir", "rmtree", "symlink", "symlink_to"),
        *("touch", "truncate", "unlink", "write", "write_bytes", "write_text"),
    }
)
"""Calls of files, folders and `os` that change the disk, whatever their arguments."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def step_kinds() -> frozenset[str]:
    """Every kind of step that a plan may have."""
    return frozenset(kind.__name__ for kind in get_args(steps.Step))


def transitions() -> frozenset[str]:
    """Every function that makes a new record of a slot."""
    return frozenset(
        name
        for name, function in inspect.getmembers(transition, inspect.isfunction)
        if function.__module__ == transition.__name__ and not name.startswith("_")
    )


def writing_methods(kind: type) -> tuple[str, ...]:
    """The public methods of a class that end in a transaction, themselves or through others."""
    module = inspect.getmodule(kind)
    assert module is not None
    tree = ast.parse(inspect.getsource(module))
    wanted = next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    methods = {node.name: node for node in wanted.body if isinstance(node, _Function)}
    writing: set[str] = set()
    while more := {
        name
        for name, node in methods.items()
        if name not in writing
        and any(_is_transaction(inner) or _calls(inner, writing) for inner in ast.walk(node))
    }:
        writing |= more
    return tuple(sorted(name for name in writing if not name.startswith("_")))


def disk_functions() -> frozenset[str]:
    """Every function of the store that changes the disk itself, as `store.blobs.BlobStore.put`."""
    return frozenset(
        f"store.{path.stem}.{name}"
        for path in sorted(STORE.glob("*.py"))
        for name, node in _functions(ast.parse(path.read_text()), "")
        if any(_changes_disk(inner) for inner in _own_nodes(node))
    )


def _functions(tree: ast.AST, prefix: str) -> Iterator[tuple[str, _Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, _Function):
            yield f"{prefix}{node.name}", node
            yield from _functions(node, f"{prefix}{node.name}.<locals>.")
        else:
            yield from _functions(node, prefix)


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """What is in a function, without the functions in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [
            child for child in ast.iter_child_nodes(node) if not isinstance(child, _Function)
        ]


def _is_transaction(node: ast.AST) -> bool:
    """Whether a node is `something.transaction()`, or `database.write(...)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr == "write":
        return ast.unparse(node.func.value).endswith("database")
    return node.func.attr == "transaction"


def _calls(node: ast.AST, names: set[str]) -> bool:
    """Whether a node is a call of one of an object's own methods."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
        and ast.unparse(node.func.value) == "self"
    )


def _changes_disk(node: ast.AST) -> bool:
    if _is_transaction(node):
        return True
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    match node.func.attr:
        case "replace":
            # `os.replace(a, b)` and `path.replace(b)`, but not `text.replace(a, b)`.
            return len(node.args) == 1 or ast.unparse(node.func.value) == "os"
        case "open":
            return _opens_to_write(node)
        case name:
            return name in _CHANGING


def _opens_to_write(call: ast.Call) -> bool:
    asked = ast.unparse(call)
    if asked.startswith("os.open("):
        return "O_CREAT" in asked or "O_TRUNC" in asked
    modes = [
        value.value
        for value in (*call.args, *(word.value for word in call.keywords if word.arg == "mode"))
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    return any(set(mode) & set("wax+") for mode in modes)
