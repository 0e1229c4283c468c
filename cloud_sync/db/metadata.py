"""The one MetaData of all tables, and the naming of constraints that migrations rely on.

Column types are portable between SQLite and PostgreSQL. Times are seconds since 1970 as floats;
wire messages are stored as the bytes that they were.
"""

from typing import Final

from sqlalchemy import BigInteger, Integer, MetaData

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RowId: Final = BigInteger().with_variant(Integer, "sqlite")
"""A counted-up key. SQLite counts only columns of the exact type INTEGER."""
