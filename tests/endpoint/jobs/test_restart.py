"""Starting again: everything is unwound first, and the process stays the same one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiercast_endpoint.jobs.restart import Restart
from tiercast_protocol.node.lifecycle import Stop

CHILD = """
import json, os, sys
from tiercast_endpoint.jobs.restart import again
life = int(os.environ.get("LIFE", "0"))
print(json.dumps([life, os.getpid(), sys.argv[1:]]), flush=True)
if life < 2:
    os.environ["LIFE"] = str(life + 1)
    again()
"""


async def test_it_waits_to_be_asked_and_for_quiet() -> None:
    restart, quiet = Restart(), asyncio.Event()
    restart.but = "j1"

    async def when(but: str) -> None:
        assert but == "j1"
        await quiet.wait()

    async def story() -> None:
        await asyncio.sleep(0)
        assert not restart.due
        restart.asked.set()
        await asyncio.sleep(0)
        assert not restart.due
        quiet.set()

    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(restart.wait(when))
            tasks.create_task(story())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(error) for error in caught.value.exceptions] == [Stop]
    assert restart.due
    restart.stopped = True
    assert not restart.due, "a signal goes before an order"


def test_the_same_process_with_the_same_command_line(tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    done = subprocess.run(
        [sys.executable, str(script), "run", "--state", "a b"],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lives = [json.loads(line) for line in done.stdout.splitlines()]
    assert [life for life, _, _ in lives] == [0, 1, 2]
    assert len({pid for _, pid, _ in lives}) == 1
    assert all(arguments == ["run", "--state", "a b"] for _, _, arguments in lives)
