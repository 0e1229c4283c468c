"""Shell patterns as SQL conditions, the same on every database."""

from sqlalchemy import ColumnElement


def matches(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether `column` matches a pattern in which `*` is any text and `?` any character.

    Upper and lower case of ASCII letters are the same.
    """
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.ilike(escaped.replace("*", "%").replace("?", "_"), escape="\\")
