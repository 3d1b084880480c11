"""The tables of the desired state: what belongs to an assignment goes with it."""

from __future__ import annotations

from tiercast_server.database.assignment_tables import assignment_tries, assignments, desired_changes, desired_windows
from tiercast_server.database.tables import metadata


def test_what_was_tried_goes_with_its_assignment() -> None:
    (key,) = assignment_tries.foreign_keys
    assert key.column is assignments.c.name
    assert key.ondelete == "CASCADE"


def test_they_are_tables_of_the_region() -> None:
    mine = {assignments.name, assignment_tries.name, desired_changes.name, desired_windows.name}
    assert mine <= metadata.tables.keys()
