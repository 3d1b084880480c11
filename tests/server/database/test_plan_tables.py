"""The tables of plans are those of the migrations; `test_migrate` compares all of them."""

from __future__ import annotations

from tiercast_server.database.plan_tables import plan_steps, plans
from tiercast_server.database.tables import metadata


def test_they_stand_in_the_one_schema_and_steps_go_with_their_plan() -> None:
    assert metadata.tables["plans"] is plans
    (key,) = plan_steps.foreign_keys
    assert (key.column, key.ondelete) == (plans.c.id, "CASCADE")
    assert [column.name for column in plan_steps.primary_key] == ["plan", "position"]
