"""Write `docs/reference/settings.md` from the settings' own structs and docstrings.

    python docs/generate_settings.py

A test fails when the page is out of date, or when a setting has no description.
"""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as mi

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "settings.md"

_ATTRIBUTE = re.compile(r"^(\w+): (.*)$")

INTRODUCTION = """\
# Settings

Written by `python docs/generate_settings.py` from the code; do not edit it by hand.

Every file is TOML. An unknown key, a missing one or a value that does not fit is an error that
names the line.
"""

AGENT = """\
## agent.toml: the device

Found at `--config`, `$EDGE_AGENT_CONFIG`, `./agent.toml` or `/etc/shoal/agent.toml`. A variable of
the environment wins over the file: `EDGE_AGENT_CLOUD_URL` is `[cloud] url`.
"""

CLOUD = """\
## cloud-sync.toml: the service

Found at `--config` or `./cloud-sync.toml`. A variable of the environment wins over the file:
`CLOUD_SYNC_HTTP_PORT` is `[http] port`; an option of the command line wins over both.
"""

MODULE = """\
## module.toml: a module

In the module's folder; see [Writing a module](../guides/modules.md).
"""


@dataclass(frozen=True)
class Setting:
    """One key of a settings file."""

    key: str
    kind: str
    default: str
    text: str


@dataclass(frozen=True)
class Table:
    """One table of a settings file: its heading as written in TOML, and its keys."""

    heading: str
    text: str
    settings: tuple[Setting, ...]


def main() -> int:
    """Write the page."""
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def page() -> str:
    """The whole reference."""
    sys.path.insert(0, str(ROOT))
    from cloud_sync.authoring.source import Source as ModuleSource
    from cloud_sync.config import Settings as CloudSettings
    from edge_agent.config import Settings as AgentSettings

    parts = [
        INTRODUCTION,
        AGENT,
        *(_render(t) for t in tables(AgentSettings)),
        CLOUD,
        *(_render(t) for t in tables(CloudSettings)),
        MODULE,
        *(_render(t) for t in tables(ModuleSource)),
    ]
    return "\n".join(parts)


def tables(kind: type[msgspec.Struct]) -> Iterator[Table]:
    """Every table of a settings file, depth first."""
    yield from _tables(mi.type_info(kind), "", repeated=False)


def _tables(info: mi.Type, path: str, *, repeated: bool) -> Iterator[Table]:
    assert isinstance(info, mi.StructType)
    told = _attributes(info.cls)
    settings: list[Setting] = []
    below: list[Table] = []
    for field in info.fields:
        inner = _struct_in(field.type)
        name = f"{path}.{field.encode_name}" if path else field.encode_name
        if inner is not None:
            is_list = isinstance(field.type, mi.VarTupleType | mi.ListType)
            below += _tables(inner, name, repeated=is_list)
        if inner is None or path:
            settings.append(
                Setting(
                    field.encode_name,
                    _kind(field.type),
                    _default(field),
                    told.get(field.name, _where(name) if inner is not None else ""),
                )
            )
    if path:
        heading = f"[[{path}]]" if repeated else f"[{path}]"
        summary = (inspect.getdoc(info.cls) or "").split("\n\n")[0].replace("\n", " ")
        yield Table(heading, summary, tuple(settings))
    yield from below


def _where(name: str) -> str:
    return f"see `{name}` below"


def _struct_in(info: mi.Type) -> mi.StructType | None:
    """The struct that a field holds, alone, optional or repeated."""
    match info:
        case mi.StructType():
            return info
        case mi.UnionType(types=types):
            return next((s for t in types if (s := _struct_in(t)) is not None), None)
        case mi.VarTupleType(item_type=item) | mi.ListType(item_type=item):
            return _struct_in(item)
        case _:
            return None


def _kind(info: mi.Type) -> str:
    match info:
        case mi.Metadata(type=inner):
            return _kind(inner)
        case mi.StructType():
            return "table"
        case mi.StrType():
            return "text"
        case mi.BoolType():
            return "true or false"
        case mi.IntType(ge=low, le=high) | mi.FloatType(ge=low, le=high):
            word = "integer" if isinstance(info, mi.IntType) else "number"
            if low is not None and high is not None:
                return f"{word} from {low:,} to {high:,}"
            return f"{word}, at least {low:,}" if low is not None else word
        case mi.LiteralType(values=values):
            return " or ".join(f"`{json.dumps(v)}`" for v in values)
        case mi.UnionType(types=types):
            return " or ".join(_kind(t) for t in types if not isinstance(t, mi.NoneType))
        case mi.VarTupleType(item_type=item) | mi.ListType(item_type=item):
            return f"list of {_kind(item)}"
        case mi.DictType(value_type=value):
            return f"table of {_kind(value)}"
        case _:
            return "any value"


def _default(field: mi.Field) -> str:
    if field.required:
        return "required"
    value: Any = field.default  # Any: whatever a setting may be
    if value is msgspec.NODEFAULT or isinstance(value, msgspec.Struct) or value in (None, ()):
        return ""
    return f"`{json.dumps(value)}`"


def _attributes(kind: type) -> dict[str, str]:
    """The texts of a docstring's `Attributes:` section, by name."""
    lines = (inspect.getdoc(kind) or "").splitlines()
    if "Attributes:" not in lines:
        return {}
    told: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Attributes:") + 1 :]:
        if line and not line.startswith(" "):
            break
        found = _ATTRIBUTE.match(line[4:]) if line[:4] == "    " and line[4:5] != " " else None
        if found:
            name = found[1]
            told[name] = found[2]
        elif name and line.strip():
            told[name] += " " + line.strip()
    return told


def _render(table: Table) -> str:
    rows = [
        f"| `{s.key}` | {s.kind} | {s.default} | {s.text} |".replace("  |", " |")
        for s in table.settings
    ]
    return "\n".join(
        [
            f"### `{table.heading}`",
            "",
            table.text,
            "",
            "| key | value | default | what |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
