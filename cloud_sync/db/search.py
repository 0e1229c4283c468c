"""Shell patterns as SQL conditions, the same on every database."""

from sqlalchemy import ColumnElement


def matches(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether `column` matches a pattern in which `*` is any text and `?` any character."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(escaped.replace("*", "%").replace("?", "_"), escape="\\")
