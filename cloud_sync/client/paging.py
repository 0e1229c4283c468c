"""Walking through a list that the service hands out page by page."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

PAGE: Final = 200

T = TypeVar("T")


def pages(
    fetch: Callable[[int, int], Sequence[T]],
    key: Callable[[T], object],
    limit: int | None = None,
    *,
    page: int = PAGE,
) -> Iterator[T]:
    """Every item of a paged list, each once.

    Something may be added or deleted between two pages, which shifts the rest: what was already
    given is left out by its key.

    Args:
        fetch: gets the page of at most `limit` items from `offset` on: `fetch(limit, offset)`.
        key: what an item is known by.
        limit: stop after so many items; None for all.
        page: items that are asked for at once.
    """
    seen: set[object] = set()
    offset = 0
    while limit is None or len(seen) < limit:
        found = fetch(page, offset)
        for item in found:
            if key(item) in seen:
                continue
            seen.add(key(item))
            yield item
            if limit is not None and len(seen) >= limit:
                return
        if len(found) < page:
            return
        offset += page
