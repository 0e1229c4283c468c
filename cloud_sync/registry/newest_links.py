"""The links that the newest versions of all modules would make, each manifest read once.

A fleet may have a module for each of its devices, thousands that read and write the same topics:
for the search for cycles they count once.
"""

from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, func, select

from cloud_sync.db.registry_tables import module_versions
from cloud_sync.registry.chains import Link, link_between

_BATCH: Final = 500
_V: Final = module_versions.c


class _End(Struct, frozen=True):
    topic: str


class _Routes(Struct, frozen=True):
    """The part of a manifest that says which topics a module reads and writes."""

    input: _End
    output: _End


_ROUTES: Final = msgspec.json.Decoder(_Routes)


class NewestLinks:
    """Remembers the topics of versions, which never change; used by several threads."""

    def __init__(self) -> None:
        # By digest; an entry is a few dozen bytes, and there are as many as versions.
        self._topics: dict[str, tuple[str, str]] = {}

    def others(self, connection: Connection, name: str) -> list[Link]:
        """Links of the newest versions in use of all modules but one, one for each pair of topics.

        Args:
            connection: of a transaction.
            name: of the module that is left out.
        """
        newest = (
            select(_V.name, func.max(_V.version).label("version"))
            .where(_V.is_retired.is_(False), _V.name != name)
            .group_by(_V.name)
            .subquery()
        )
        query = select(_V.name, _V.digest).join(
            newest, (newest.c.name == _V.name) & (newest.c.version == _V.version)
        )
        rows = connection.execute(query.order_by(_V.name)).all()
        self._learn(connection, [row.digest for row in rows if row.digest not in self._topics])
        names: dict[tuple[str, str], str] = {}
        for row in rows:
            names.setdefault(self._topics[row.digest], row.name)
        return [link_between(other, reads, writes) for (reads, writes), other in names.items()]

    def _learn(self, connection: Connection, digests: list[str]) -> None:
        for start in range(0, len(digests), _BATCH):
            batch = digests[start : start + _BATCH]
            query = select(_V.digest, _V.manifest).where(_V.digest.in_(batch))
            for row in connection.execute(query):
                routes = _ROUTES.decode(bytes(row.manifest))
                self._topics[row.digest] = (routes.input.topic, routes.output.topic)
