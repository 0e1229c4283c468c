"""Bring a database to this version's tables, or refuse one that is ahead of us."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from cloud_sync.db.engine import Database
from cloud_sync.errors import Conflict

SCRIPTS: Final = Path(__file__).parent / "migrations"


def migrate(database: Database) -> str:
    """Apply every migration that is missing, in one transaction.

    Returns:
        The version that the database has now.

    Raises:
        Conflict: the database was written by a newer version.
    """
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    head = scripts.get_current_head() or ""
    with database.write() as connection:
        found = MigrationContext.configure(connection).get_current_heads()
        ahead = sorted(set(found) - known)
        if ahead:
            raise Conflict(
                f"the database has version {ahead[0]}, this program knows versions up to {head}",
                hint="update shoal, or go back to the backup that was made before the update",
                code="database_newer",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return head
