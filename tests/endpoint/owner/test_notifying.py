"""The owner's own program: called per event, with the event in its environment, and ended after its time."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tiercast_endpoint.owner.feed import Feed
from tiercast_endpoint.owner.notifying import Notifying, NotifySettings, environment
from tiercast_protocol.errors import ConfigError
from tiercast_protocol.node.config import Duration, parse


def program(folder: Path, text: str) -> str:
    path = folder / "tell"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


async def lines(file: Path, count: int) -> list[str]:
    async with asyncio.timeout(60):
        while not file.exists() or len(file.read_text().splitlines()) < count:  # noqa: ASYNC110 - another process writes
            await asyncio.sleep(0.01)
    return file.read_text().splitlines()


async def test_it_is_called_with_the_event_and_a_hanging_call_does_not_keep_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f'echo "$1 $TIERCAST_EVENT $TIERCAST_JSON" >> {out}; [ "$TIERCAST_JOB" = j1 ] && sleep 600; exit 3'
    feed = Feed(lambda: 7)
    settings = NotifySettings(program=(program(tmp_path, script), "for-me"), timeout=Duration(1.5))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Notifying(settings, feed).run())
        await asyncio.sleep(0)
        for job, text in (("j1", "one"), ("j2", f'two "and" $(touch {tmp_path}/evil)')):
            feed.message(job, "Tonight", text)
        found = await lines(out, 2)
        task.cancel()
    assert [line.split()[:2] for line in found] == [["for-me", "message"]] * 2
    assert json.loads(found[1].partition(" message ")[2])["says"].startswith('two "and"')
    assert not (tmp_path / "evil").exists()


async def test_only_what_was_asked_for_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    feed = Feed(lambda: 7)
    settings = NotifySettings(program=(program(tmp_path, f"echo $TIERCAST_JOB >> {out}"),), events=("ended",))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Notifying(settings, feed).run())
        await asyncio.sleep(0)
        feed.message("j1", "", "")
        feed._tell({"event": "ended", "job": "j2"})
        assert await lines(out, 1) == ["j2"]
        task.cancel()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
async def test_it_runs_as_the_owner(tmp_path: Path) -> None:
    ran: list[str] = []
    feed = Feed(lambda: 7)
    with Path("/tmp").joinpath(f"tiercast-notify-{os.getpid()}").open("x") as out:
        file = Path(out.name)
    try:
        file.chmod(0o666)
        settings = NotifySettings(program=("/bin/sh", "-c", f"id -un >> {file}"), user="nobody")
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(Notifying(settings, feed).run())
            await asyncio.sleep(0)
            feed.message("j1", "", "")
            ran = await lines(file, 1)
            task.cancel()
    finally:
        file.unlink()
    assert ran == ["nobody"]


def test_what_a_region_says_can_be_no_other_variable() -> None:
    found = environment({"event": "message", "says": "a\0b\nPATH=/evil", "list": [1]})
    assert found["TIERCAST_SAYS"] == "ab\nPATH=/evil"
    assert "\0" not in "".join(found.values())
    assert found["PATH"].startswith("/usr/local/sbin")


@pytest.mark.parametrize(
    "text", ['program = ["tell-me"]', 'events = ["sometimes"]', 'timeout = "1h"', 'timeout = "0s"']
)
def test_settings_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, NotifySettings, Path("endpoint.toml"))
