"""Programs of actions: known to the journal before they begin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.endpoint.acting.site import lab

from tiercast_endpoint.acting.prefix import ActError
from tiercast_endpoint.acting.runner import LEAST, JobRunner
from tiercast_endpoint.jobs import journal


async def test_the_journal_names_it_while_it_runs_and_not_after(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        job = await site.db.write(lambda connection: journal.add_job(connection, site.job(0, "")))
        run = JobRunner(site.db, job, site.prefix, tmp_path / "none")
        script = (
            "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT running FROM job').fetchone()[0])"
        )
        ran = await run(["python3", "-c", script, str(tmp_path / "db")])
        assert ran.output.strip(), "its name stood there when it began"
        known = await site.db.read(lambda connection: journal.job_at(connection, job.job, 1))
        assert known is not None
        assert known.running == ""
        assert run.at(tmp_path).results == [ran]
        await run(["true"], quiet=True)
        assert run.results == [ran]


async def test_where_all_output_was_used_up_each_has_a_little(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        first = JobRunner(site.db, site.job(1, ""), site.prefix, tmp_path)
        ran = await first(["sh", "-c", "yes | head -c 500000"], output_limit=256 * 1024)
        later = JobRunner(site.db, replace(site.job(1, ""), programs=(ran,)), site.prefix, tmp_path)
        assert len((await later(["sh", "-c", "yes | head -c 9000"], output_limit=8192)).output) < LEAST + 64


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    async with lab(tmp_path) as site:
        run = JobRunner(site.db, site.job(1, ""), site.prefix, tmp_path)
        with pytest.raises(ActError) as caught:
            await run(["/none/such"])
        assert caught.value.code == "program.start"
