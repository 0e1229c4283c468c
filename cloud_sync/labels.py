"""Labels: the bounds of tags and properties, of models as of devices. Pure."""

from typing import Final

from cloud_sync.errors import InvalidInput
from cloud_sync.resources import Tags

MAX_LABELS: Final = 200
MAX_KEY: Final = 100


def check_labels(kind: str, labels: Tags, *, max_value: int) -> None:
    """Check the number and lengths of tags or properties.

    Args:
        kind: what they are, for the error.
        labels: names and values.
        max_value: most characters of a value.

    Raises:
        InvalidInput: too many, too long, or a key that is empty or has '=' in it.
    """
    if len(labels) > MAX_LABELS:
        raise InvalidInput(
            f"expected at most {MAX_LABELS} of {kind}, found {len(labels)}",
            hint="remove some first",
        )
    for key, value in labels.items():
        if not 1 <= len(key) <= MAX_KEY or "=" in key:
            raise InvalidInput(
                f"{kind} name expected 1-{MAX_KEY} characters without '=', found {key[:120]!r}",
                hint="choose another name",
            )
        if len(value) > max_value:
            raise InvalidInput(
                f"{kind} {key!r} expected at most {max_value} characters, found {len(value)}",
                hint="choose a shorter text",
            )


def parse_tag(text: str) -> tuple[str, str]:
    """Read a `KEY=VALUE` of a query.

    Raises:
        InvalidInput: there is no '=' or no key.
    """
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise InvalidInput(
            f"expected KEY=VALUE, found {text[:120]!r}", hint="write it as site=lyon"
        )
    return key, value
