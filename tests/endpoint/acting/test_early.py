"""Both halves' folders are recovered, and a machine without an agent starts as ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.endpoint.acting.site import act, lab

from tiercast_endpoint.acting.early import recover_both
from tiercast_endpoint.halves import trusted
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.story import Snapshot, Step
from tiercast_protocol.errors import StateError
from tiercast_protocol.node.lifecycle import StateLock
from tiercast_protocol.node.places import place


async def test_each_half_by_its_own_settings(tmp_path: Path) -> None:
    here = place("endpoint", tmp_path / "agent")
    assert recover_both(here, tmp_path / "root") == []
    for half, database in (("agent", "agent.db"), ("root", "root.db")):
        folder = tmp_path / half
        folder.mkdir(mode=0o700)
        async with lab(folder) as site:
            site.files("one", {"a": b"A"})
            await site.apply(1, "one", act("file", path="/a", source="a"))
            job = replace(site.job(0, "one"), snapshot=Snapshot("install", Step.REVERT))
            await site.db.write(lambda connection, job=job: journal.add_job(connection, job))
        (folder / "db").rename(folder / database)
    here.config.write_text(f'install_root = "/none"\nprefix = "{tmp_path}/agent/prefix"\n')
    said = f'install_root = "/none"\nuser = "root"\nprefix = "{tmp_path}/root/prefix"\n'
    (tmp_path / "root" / trusted.CONFIG).write_text(said)
    with StateLock(here.folder), pytest.raises(StateError):
        recover_both(here, tmp_path / "root")
    assert recover_both(here, tmp_path / "root") == ["file /a: back"] * 2
    assert not (tmp_path / "agent/prefix/a").exists()
