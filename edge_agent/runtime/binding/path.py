"""Paths: where a value stands in a message. Levels are joined by '.'; a number is a list index."""

from typing import Final

_MISSING: Final = None


def keys_of(path: str) -> tuple[str, ...]:
    """The levels of a path; none for the empty path, which is the message itself."""
    return tuple(path.split(".")) if path else ()


def walk(value: object, keys: tuple[str, ...]) -> object:
    """What stands at `keys`, or None where there is nothing (JSON's null is nothing, too)."""
    for key in keys:
        if type(value) is dict:
            value = value.get(key)
        elif type(value) is list and key.isdecimal() and len(key) < 10 and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
    return value


def absence(message: object, keys: tuple[str, ...]) -> str:
    """What stands at `keys` where `look_up` found None: 'null', or 'nothing'."""
    parent = walk(message, keys[:-1])
    last = keys[-1] if keys else ""
    is_null = (
        message is None
        or (type(parent) is dict and last in parent)
        or (
            type(parent) is list and last.isdecimal() and len(last) < 10 and int(last) < len(parent)
        )
        or (type(message) is dict and ".".join(keys) in message)
    )
    return "null" if is_null else "nothing"


def look_up(value: object, keys: tuple[str, ...]) -> object:
    """As `walk`, but a key that holds dots itself ("petal.width") is found, too."""
    found = walk(value, keys)
    if found is None and len(keys) > 1 and type(value) is dict:
        return value.get(".".join(keys))
    return found
