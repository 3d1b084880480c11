"""Bringing a database to the newest schema, from inside an open transaction.

Rules
- All steps of one start are one transaction: a kill leaves the old schema or the new one.
- A database that stands at the newest schema is left alone: a start takes no longer for it.
- A revision that no file in migrations/versions has comes from a newer Tiercast: touched by nothing.
"""

from __future__ import annotations

from functools import cache
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
    known, newest = _revisions()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == newest:
        return
    if current is not None and current not in known:
        raise StateError(
            where, f"schema {current} is of a newer Tiercast", "Start that version, or restore an older backup."
        )
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@cache
def _revisions() -> tuple[frozenset[str], str | None]:
    """All that this code knows, and the newest; read once, for each is a file of its own."""
    scripts = ScriptDirectory.from_config(_config())
    return frozenset(script.revision for script in scripts.walk_revisions()), scripts.get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
