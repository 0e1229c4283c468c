"""A struct's fields as the options of a command, so that several commands can share them.

typer makes options of a function's own parameters and of nothing else. Asks and prints nothing.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

_OWN: Final = inspect.Parameter.KEYWORD_ONLY

# Any: a command takes what its options say.
Command = Callable[..., None]


def spread(command: Command) -> Command:
    """Give a command an option for every field of those of its parameters that are structs.

    Args:
        command: each of its parameters by name; fields are annotated as typer's parameters are.

    Returns:
        The command as typer reads it. It is called with what was typed and makes the structs.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    kinds = {each.name: each.annotation for each in own if _is_struct(each.annotation)}

    @functools.wraps(command)
    def typed(**given: Any) -> None:  # Any: as above
        for name, kind in kinds.items():
            taken = {field.name: given.pop(field.name) for field in fields(kind)}
            given[name] = kind(**taken)
        command(**given)

    shown = [
        parameter
        for each in own
        for parameter in (
            _parameters(kinds[each.name]) if each.name in kinds else [each.replace(kind=_OWN)]
        )
    ]
    typed.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    typed.__annotations__ = {each.name: each.annotation for each in shown}
    return typed


def _is_struct(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Struct)


def _parameters(kind: type[Struct]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        default = inspect.Parameter.empty if field.required else field.default
        yield inspect.Parameter(field.name, _OWN, default=default, annotation=hints[field.name])
