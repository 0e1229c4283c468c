from collections.abc import Sequence

import pytest

from cloud_sync.client.paging import PAGE, pages
from cloud_sync.client.versions import newest, parse_exact, parse_ref
from cloud_sync.errors import InvalidInput, NotFound
from cloud_sync.resources import ModuleVersion


class Listing:
    """A list on a service; `before_page` may change it between two pages."""

    def __init__(self, items: list[int]) -> None:
        self.items = items
        self.asked = 0

    def fetch(self, limit: int, offset: int) -> Sequence[int]:
        self.asked += 1
        page = self.items[offset : offset + limit]
        self.items.insert(0, -self.asked)  # something new comes first after every page
        return page


def test_every_item_is_given_once_although_the_list_shifts() -> None:
    listing = Listing(list(range(2 * PAGE + 7)))
    found = list(pages(listing.fetch, lambda item: item))
    assert [item for item in found if item >= 0] == list(range(2 * PAGE + 7))
    assert len(found) == len(set(found))


def test_no_page_is_asked_for_that_is_not_needed() -> None:
    listing = Listing(list(range(5 * PAGE)))
    assert list(pages(listing.fetch, lambda item: item, limit=PAGE)) == list(range(PAGE))
    assert listing.asked == 1


def test_pages_may_be_larger() -> None:
    listing = Listing(list(range(PAGE + 1)))
    found = list(pages(listing.fetch, lambda item: item, page=2 * PAGE))
    assert (found, listing.asked) == (list(range(PAGE + 1)), 1)


@pytest.mark.parametrize(("text", "ref"), [("shuttle", ("shuttle", None)), ("a-1/12", ("a-1", 12))])
def test_a_name_with_or_without_version_is_read(text: str, ref: tuple[str, int | None]) -> None:
    assert parse_ref("model", text) == ref


@pytest.mark.parametrize(
    "text", ["", "A", "a/", "a/0", "a/x", "a/1/2", "a/-1", "a/99999999999", "a/²"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_ref("model", text)


def test_a_change_needs_its_version() -> None:
    assert parse_exact("model", "a/3") == ("a", 3)
    with pytest.raises(InvalidInput, match="no version"):
        parse_exact("model", "a")


def version(number: int, *, retired: bool = False) -> ModuleVersion:
    return ModuleVersion(
        name="m",
        version=number,
        digest="sha256:" + "0" * 64,
        size=1,
        description="",
        license="",
        metrics={},
        created=0,
        created_by="ada",
        retired=retired,
    )


def test_the_newest_version_is_the_newest_that_is_not_retired() -> None:
    assert newest("module", "m", [version(1), version(3, retired=True), version(2)]).version == 2
    with pytest.raises(NotFound, match="every version of module 'm' is retired"):
        newest("module", "m", [version(1, retired=True)])
