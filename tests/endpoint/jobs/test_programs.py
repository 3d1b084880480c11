"""Programs that hang, flood, fork away or are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tiercast_endpoint.jobs import programs
from tiercast_endpoint.jobs.programs import (
    HeadAndTail,
    Ran,
    environment,
    identity_of,
    kill_leftover,
    run_program,
)


async def run(tmp_path: Path, script: str, *, timeout_s: float = 20, limit: int = 4096, grace_s: float = 5) -> Ran:
    program = tmp_path / "p.sh"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    return await run_program(
        ("./p.sh", "argument"),
        cwd=tmp_path,
        env=environment(package="hello", version="1.0", job="j1", tree=tmp_path),
        timeout_s=timeout_s,
        output_limit=limit,
        grace_s=grace_s,
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(60):
        while alive(pid):  # noqa: ASYNC110 - a stranger's end has no event
            await asyncio.sleep(0.01)


async def test_output_status_and_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    ran = await run(tmp_path, "echo out; echo err >&2; cat; pwd; env; echo $1; exit 7")
    lines = ran.output.decode().splitlines()
    assert (ran.exit, ran.timed_out, ran.ok) == (7, False, False)
    assert lines[:3] == ["out", "err", str(tmp_path)], "stdin is empty, the tree is the working folder"
    assert {"TIERCAST_PACKAGE=hello", "TIERCAST_JOB=j1", f"TIERCAST_TREE={tmp_path}"} <= set(lines)
    assert not any("SECRET" in line for line in lines)
    assert lines[-1] == "argument"


async def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    ran = await run(tmp_path, "sleep 1000 & echo $!; wait", timeout_s=1.5)
    assert ran.timed_out
    assert ran.exit == -signal.SIGTERM
    await until_gone(int(ran.output))


async def test_a_program_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ran = await run(tmp_path, "trap '' TERM; while :; do sleep 0.05; done", timeout_s=1.5, grace_s=0.2)
    assert ran.timed_out
    assert ran.exit == -signal.SIGKILL


async def test_a_program_that_floods_is_cut_in_the_middle(tmp_path: Path) -> None:
    ran = await run(tmp_path, "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last")
    assert ran.ok
    assert ran.output.startswith(b"first\n")
    assert ran.output.endswith(b"\nlast\n")
    assert b"bytes cut" in ran.output
    assert len(ran.output) < 4096 + 100


async def test_what_a_program_leaves_in_its_group_is_killed(tmp_path: Path) -> None:
    ran = await run(tmp_path, "sleep 1000 & echo $!")
    assert ran.ok
    await until_gone(int(ran.output))


async def test_a_child_that_keeps_the_output_open_does_not_hold_the_job(tmp_path: Path) -> None:
    started = time.monotonic()
    ran = await run(tmp_path, "setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.2")
    assert ran.ok
    assert time.monotonic() - started < 10
    os.kill(int(ran.output), signal.SIGKILL)


async def test_a_program_that_is_killed(tmp_path: Path) -> None:
    ran = await run(tmp_path, "kill -9 $$")
    assert (ran.exit, ran.timed_out) == (-signal.SIGKILL, False)


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        await run_program(("./none",), cwd=tmp_path, env={}, timeout_s=1, output_limit=10)


async def test_a_cancelled_run_leaves_nothing_behind(tmp_path: Path) -> None:
    pids: list[int] = []
    started = asyncio.Event()

    async def on_started(pid: int) -> None:
        pids.append(pid)
        started.set()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(
            run_program(
                ("sleep", "1000"), cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, timeout_s=900, output_limit=10,
                on_started=on_started,
            )
        )  # fmt: skip
        async with asyncio.timeout(60):
            await started.wait()
        task.cancel()
    assert not alive(pids[0])


async def test_a_program_of_an_earlier_life_is_known_by_more_than_its_number(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    identity = identity_of(process.pid)
    assert not kill_leftover(f"{process.pid}:1")
    assert not kill_leftover("")
    assert kill_leftover(identity)
    assert await process.wait() == -signal.SIGKILL
    assert not kill_leftover(identity)
    assert identity_of(process.pid) == ""


def test_a_program_is_found_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert programs.executable("./tool", tmp_path) == str(tool)
    assert programs.executable(str(tool), Path("/")) == str(tool)
    assert programs.executable("sh", tmp_path).endswith("/sh")
    for name in ("tool", "./none", str(tmp_path), "no-such-program"):
        with pytest.raises(FileNotFoundError):
            programs.executable(name, tmp_path)
    with pytest.raises(PermissionError):
        programs.executable("./plain", tmp_path)


def test_head_and_tail() -> None:
    kept = HeadAndTail(10)
    kept.add(b"abc")
    assert kept.value() == b"abc"
    kept.add(b"defghij")
    assert kept.value() == b"abcdefghij"
    for _ in range(100):
        kept.add(b"0123456789")
    assert kept.value() == b"abcde\n[... 1000 bytes cut ...]\n56789"
    nothing = HeadAndTail(0)
    nothing.add(b"abc")
    assert nothing.value() == b"\n[... 3 bytes cut ...]\n"
