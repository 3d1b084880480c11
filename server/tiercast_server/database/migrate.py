"""Bringing a database to the newest schema, from inside an open transaction.

Rules
- All steps of one start are one transaction: a kill leaves the old schema or the new one.
- A revision that no file in migrations/versions has comes from a newer Tiercast: touched by nothing.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tiercast_protocol.errors import StateError

_FOLDER = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, where: str) -> None:
    """Run what is missing on `connection`; `where` is what a message calls the database.

    Raises:
        StateError: the database is newer than this code.
    """
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise StateError(
            where, f"schema {current} is of a newer Tiercast", "Start that version, or restore an older backup."
        )
    command.upgrade(config, "head")
