"""Settings from environment variables: `PREFIX_SECTION_KEY=value` replaces `[section] key`.

The environment is passed in; this file never reads it.
"""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct, inspect

from edge_agent.contract.misfit import misfit
from edge_agent.contract.names import choice_hint, did_you_mean
from edge_agent.errors import ShoalError

S = TypeVar("S", bound=Struct)


def override(
    settings: S, environment: Mapping[str, str], *, prefix: str, error: type[ShoalError]
) -> S:
    """Return `settings` with the values that the environment gives.

    Args:
        settings: a Struct whose fields are Structs (the sections) of plain values.
        environment: variable name to value.
        prefix: what the names begin with, for example `CLOUD_SYNC`.
        error: class of the error that is raised.

    Raises:
        ShoalError: of class `error`: a variable that begins with `PREFIX_` and names no setting,
            or a value that does not fit.
    """
    known = variables(type(settings), prefix=prefix)
    changes: dict[str, dict[str, str]] = {}
    for name in sorted(environment):
        if not name.startswith(f"{prefix}_"):
            continue
        if name not in known:
            raise error(
                f"environment variable {name} names no setting", hint=did_you_mean(name, known)
            )
        section, key = known[name]
        changes.setdefault(section, {})[key] = environment[name]
    for section, texts in changes.items():
        current = getattr(settings, section)
        values = {key: _value(text, getattr(current, key)) for key, text in texts.items()}
        merged = {name: getattr(current, name) for name in current.__struct_fields__} | values
        try:
            # Not strict: everything in the environment is a string.
            changed = msgspec.convert(merged, type(current), strict=False)
        except msgspec.ValidationError as refused:
            wrong = misfit(str(refused), merged, inspect.type_info(type(current)))
            name = "_".join((prefix, section, *map(str, wrong.path))).upper()
            raise error(
                f"environment variable {name} expected {wrong.expected}; "
                f"found {wrong.value!r:.100}",
                hint=choice_hint(str(wrong.value), wrong.choices)
                if wrong.choices
                else "correct it, or leave it unset",
            ) from refused
        settings = msgspec.structs.replace(settings, **{section: changed})
    return settings


def _value(text: str, current: object) -> str | list[str]:
    """A setting's text; of a list, its items, which are separated by commas."""
    if isinstance(current, tuple):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def variables(kind: type[Struct], *, prefix: str) -> dict[str, tuple[str, str]]:
    """Every environment variable that is read: its name to section and key."""
    found: dict[str, tuple[str, str]] = {}
    top = inspect.type_info(kind)
    assert isinstance(top, inspect.StructType)  # noqa: S101  # by the argument's type
    for section in top.fields:
        if isinstance(section.type, inspect.StructType):
            for setting in section.type.fields:
                name = f"{prefix}_{section.encode_name}_{setting.encode_name}".upper()
                found[name] = (section.encode_name, setting.encode_name)
    return found
