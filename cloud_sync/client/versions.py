"""Which version is meant when none, or `NAME/VERSION`, is given. Pure."""

from collections.abc import Iterable
from typing import TypeVar

from cloud_sync.errors import InvalidInput, NotFound
from cloud_sync.resources import ModelVersion, ModuleVersion
from edge_agent.contract.names import check_name

V = TypeVar("V", ModelVersion, ModuleVersion)


def newest(kind: str, name: str, versions: Iterable[V]) -> V:
    """The newest version that is not retired.

    Args:
        kind: "model" or "module", for the error.
        name: of the model or module.
        versions: all there are.

    Raises:
        NotFound: there is none, or all are retired.
    """
    usable = [version for version in versions if not version.retired]
    if not usable:
        raise NotFound(
            f"every version of {kind} {name!r} is retired",
            hint=f"name one: {name}/VERSION",
            code="all_retired",
        )
    return max(usable, key=lambda version: version.version)


def parse_ref(kind: str, text: str) -> tuple[str, int | None]:
    """Read `NAME` or `NAME/VERSION`.

    Args:
        kind: "model" or "module", for the error.
        text: what a person typed.

    Returns:
        The name, and the version or None.

    Raises:
        InvalidInput: it is neither.
    """
    name, slash, version = text.partition("/")
    check_name(kind, name)
    if not slash:
        return name, None
    if not (version.isascii() and version.isdecimal()) or not 1 <= int(version) < 2**31:
        raise InvalidInput(
            f"{kind} {text!r} expected NAME or NAME/VERSION with a version from 1 up",
            hint=f"for example {name}/1",
            code="version_invalid",
        )
    return name, int(version)


def parse_exact(kind: str, text: str) -> tuple[str, int]:
    """Read `NAME/VERSION`, for changes that must not hit another version by surprise.

    Raises:
        InvalidInput: it is not, or has no version.
    """
    name, version = parse_ref(kind, text)
    if version is None:
        raise InvalidInput(
            f"{kind} {text!r} expected NAME/VERSION, found no version",
            hint=f"name the version that is meant, for example {name}/1",
            code="version_missing",
        )
    return name, version
