"""Nothing in the tables that only one database knows."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from tiercast_server.database.tables import metadata


def test_both_databases_can_make_every_table() -> None:
    for table in metadata.sorted_tables:
        for dialect in (sqlite.dialect(), postgresql.dialect()):
            assert table.name in str(CreateTable(table).compile(dialect=dialect))


def test_every_table_has_a_key_and_every_constraint_a_name() -> None:
    for table in metadata.sorted_tables:
        assert list(table.primary_key.columns)
        assert all(constraint.name for constraint in table.constraints)
