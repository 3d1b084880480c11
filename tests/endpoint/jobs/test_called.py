"""Whoever speaks for the owner names a job by its number."""

from __future__ import annotations

import sqlite3

from tiercast_endpoint.jobs.called import called


def test_a_number_names_the_job_that_came_here() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE job (job TEXT, revision INTEGER)")
    db.executemany("INSERT INTO job VALUES (?, ?)", [("j17-8fd8", 1), ("j17-8fd8", 2), ("j170-aaaa", 1), ("j-5", 1)])
    assert [called(db, asked) for asked in ("17", "j17", "j-17", "j17-8fd8")] == ["j17-8fd8"] * 4
    assert called(db, "j-5") == "j-5", "an id goes before a number"
    assert [called(db, asked) for asked in ("18", "", "x", "%")] == ["18", "", "x", "%"], "those above may know it"
