"""The tables of site-held jobs are those of the migrations; `test_migrate` compares all of them."""

from __future__ import annotations

from tiercast_server.database.site_tables import site_jobs, site_strays
from tiercast_server.database.tables import metadata


def test_they_stand_in_the_one_schema() -> None:
    assert metadata.tables["site_jobs"] is site_jobs
    assert [column.name for column in site_strays.primary_key] == ["job", "node"]
