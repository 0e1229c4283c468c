"""Options that several commands share, and how `KEY=VALUE` is read."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print JSON, in the form of the HTTP API's resources.")
]
DeviceName = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's name.")]
SlotName = Annotated[str, typer.Argument(metavar="SLOT", help="The slot's name.")]
ExactRef = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Which version.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit log.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")]
Most = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, help="At most so many; all without it.")
]
Retired = Annotated[bool, typer.Option("--retired", help="Show retired versions as well.")]
TagFilter = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="Only with this tag. May be repeated."),
]


Where = Annotated[
    str,
    typer.Option("--where", metavar="EXPR", help="Only these, as `site=oslo and not tag:lab`."),
]
TARGET_FORMS: Final = "NAME, KEY=VALUE, group:NAME or all; with and, or, not"


def _meant(context: typer.Context, parameter: typer.CallbackParam, value: str) -> str:
    """Refuse a target of nothing: a variable that a script has not set must mean nobody.

    Raises:
        typer.BadParameter: it was given, and is empty.
    """
    source = context.get_parameter_source(parameter.name or "")
    if not value.strip() and source is not None and source.name == "COMMANDLINE":
        raise typer.BadParameter(f"expected devices, found nothing: {TARGET_FORMS}")
    return value


Target = Annotated[
    str,
    typer.Option("--to", metavar="TARGET", help=f"Devices: {TARGET_FORMS}.", callback=_meant),
]
Members = Annotated[
    str, typer.Argument(metavar="TARGET", help=f"Devices: {TARGET_FORMS}.", callback=_meant)
]


def pairs(values: Sequence[str] | None, option: str) -> dict[str, str]:
    """Read `KEY=VALUE` options.

    Args:
        values: as typed.
        option: for the error, `--tag`.

    Raises:
        typer.BadParameter: not of that form, or one key with two values.
    """
    found: dict[str, str] = {}
    named = f"{option} " if option.startswith("-") else ""
    for value in values or ():
        key, equals, text = value.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{named}expected KEY=VALUE, found {value!r}")
        if found.get(key, text) != text:
            raise typer.BadParameter(f"{option} gives {key!r} twice: {found[key]!r} and {text!r}")
        found[key] = text
    return found
