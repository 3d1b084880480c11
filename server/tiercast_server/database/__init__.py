"""The region's database: tables, the engine with its writer discipline, migrations."""

from tiercast_server.database.engine import Database

__all__ = ["Database"]
