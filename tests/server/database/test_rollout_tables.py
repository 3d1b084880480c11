"""The tables of rollouts go when their rollout goes, on both databases."""

from __future__ import annotations

from tiercast_server.database.rollout_tables import rollout_jobs, rollout_members, rollouts
from tiercast_server.database.tables import metadata


def test_what_belongs_to_a_rollout_goes_with_it() -> None:
    for table in (rollout_members, rollout_jobs):
        (key,) = table.foreign_keys
        assert key.column is rollouts.c.id
        assert key.ondelete == "CASCADE"


def test_they_are_tables_of_the_region() -> None:
    assert {rollouts.name, rollout_members.name, rollout_jobs.name} <= metadata.tables.keys()
