"""Tags of devices and models as they are typed: which are set, and which are taken away."""

from typing import Annotated

import typer
from msgspec import Struct

from cloud_sync.cli.options import pairs


class Tagging(Struct, frozen=True, kw_only=True):
    """What was typed of it: an option a field."""

    tags: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="Tags to set.")
    ] = None
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="KEY", help="Take this tag away.")
    ] = None

    def changes(self) -> dict[str, str]:
        """The tags to set.

        Raises:
            typer.BadParameter: one is malformed, or there is nothing to do at all.
        """
        found = pairs(self.tags, "KEY=VALUE")
        if not found and not self.remove:
            raise typer.BadParameter("expected at least one KEY=VALUE or --remove KEY")
        return found
