"""Jobs about no package, through a whole agent: programs run, messages kept, and what a crash leaves of them."""

from __future__ import annotations

import asyncio
import os
import pickle
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.endpoint.lab import Agent, Region, agent_over

from tiercast_endpoint.jobs import journal, programs
from tiercast_endpoint.jobs.actions import Actions
from tiercast_endpoint.owner import messages
from tiercast_protocol.content.package.actions import argv_text
from tiercast_protocol.errors import StoreFull
from tiercast_protocol.wire.messages import StatusRecord

REPOSITORY = Path(__file__).parents[3]


def options(*argv: str, **more: Any) -> dict[str, str | int | bool]:
    return {"argv": argv_text(argv), **more}


async def test_a_program_runs_and_its_output_stands_in_the_receipt(agent: Agent) -> None:
    record = await agent.do("j1", "run", None, options=options("sh", "-c", "echo out; echo err >&2; env; pwd"))
    assert (record.state, record.code) == ("done", "")
    (ran,) = agent.receipt(record).programs
    assert (ran.argv[0], ran.exit, ran.timed_out) == ("sh", 0, False)
    lines = ran.output.splitlines()
    assert lines[:2] == ["out", "err"]
    assert lines[-1] == "/"
    assert "TIERCAST_JOB=j1" in lines
    assert {line.partition("=")[0] for line in lines[2:-1]} <= {
        *("TIERCAST_JOB", "PATH", "HOME", "LANG", "USER", "LOGNAME", "PWD", "_", "SHLVL", "OLDPWD")
    }
    states = [r.state for r in agent.post.records if r.job == "j1"]
    assert states[-1] == "done"


async def test_output_is_cut_to_its_limit_and_the_cut_is_marked(agent: Agent) -> None:
    record = await agent.do("j1", "run", None, options=options("seq", "1", "9999", output=100))
    (ran,) = agent.receipt(record).programs
    assert ran.output.startswith("1\n2\n")
    assert ran.output.endswith("9998\n9999\n")
    assert "bytes cut" in ran.output
    record = await agent.do("j2", "run", None, options=options("echo", "x", output=0))
    assert agent.receipt(record).programs[0].output == "\n[... 2 bytes cut ...]\n"


@pytest.mark.parametrize(
    ("argv", "more", "state", "code", "says"),
    [
        (("sh", "-c", "exit 3"), {}, "failed", "program.failed", "status 3; these count as success: 0."),
        (("sh", "-c", "exit 3"), {"exits": "0,3"}, "done", "", "status 3, which counts"),
        (("true",), {"exits": "3"}, "failed", "program.failed", "status 0"),
        (("sh", "-c", "kill -9 $$"), {}, "failed", "program.failed", "signal 9"),
        (("sleep", "60"), {"run_timeout_s": 1}, "failed", "program.timeout", "its time-out is 1 s"),
        (("no-such-program",), {}, "failed", "program.start", "not to be found"),
        (("/no/such/program",), {}, "failed", "program.start", "could not be started"),
        (("/etc/passwd",), {}, "failed", "program.start", "could not be started"),
        (("true",), {"user": "no-such-user"}, "failed", "run.user", "no user 'no-such-user'"),
    ],
)
async def test_how_a_program_may_end(
    agent: Agent, argv: tuple[str, ...], more: dict[str, Any], state: str, code: str, says: str
) -> None:
    record = await agent.do("j1", "run", None, options=options(*argv, **more))
    assert (record.state, record.code) == (state, code)
    assert says in record.detail


@pytest.mark.parametrize(
    ("type_", "said", "code"),
    [
        ("run", {}, "run.argv"),
        ("run", {"argv": '["./x"]'}, "run.argv"),
        ("run", {"argv": '["true"]', "exits": "-1"}, "run.exits"),
        ("message", {}, "message.text"),
        ("message", {"text": "\x1b]0;gotcha"}, "message.text"),
        ("preload", {}, "order.type"),
    ],
)
async def test_what_makes_no_sense_is_rejected_and_nothing_runs(
    agent: Agent, type_: str, said: dict[str, Any], code: str
) -> None:
    if type_ == "preload":
        from tests.endpoint.lab import pack  # noqa: PLC0415 - one case's package

        record = await agent.do("j1", type_, pack("p", "1", {"a": b"a"}))
    else:
        record = await agent.do("j1", type_, None, options=said)
    assert (record.state, record.code) == ("rejected", code)
    assert agent.receipt(record).programs == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
async def test_another_user_has_no_right_of_the_agents(agent: Agent) -> None:
    script = "id -un; id -u; id -G; echo $HOME; cat /etc/shadow"
    record = await agent.do("j1", "run", None, options=options("sh", "-c", script, user="nobody", exits="1"))
    assert record.state == "done", record.detail
    (ran,) = agent.receipt(record).programs
    nobody = pwd.getpwnam("nobody")
    lines = ran.output.splitlines()
    groups = " ".join(map(str, os.getgrouplist("nobody", nobody.pw_gid)))
    assert lines[:4] == ["nobody", str(nobody.pw_uid), groups, nobody.pw_dir]
    assert "Permission denied" in lines[4]
    assert ran.argv[0] == "sh"
    secret = agent.folder / "secret.sh"
    secret.write_text("#!/bin/sh\n")
    secret.chmod(0o700)
    record = await agent.do("j2", "run", None, options=options(str(secret), user="nobody"))
    assert record.code == "program.failed"
    assert "Permission denied" in agent.receipt(record).programs[0].output


async def test_programs_run_one_after_the_other_and_wait_for_no_package(agent: Agent) -> None:
    from tests.endpoint.lab import pack  # noqa: PLC0415 - one test's package

    held = [pack(f"p{number}", "1", {"a": b"a"}) for number in range(5)]
    agent.offer(*held)
    agent.fetcher.gate.clear()
    for package in held:
        await agent.order(agent.region.order(f"i-{package.name}", "install", package))
    mark = agent.folder / "mark"
    first = f"test ! -e {mark} && sleep 0.2 && touch {mark}"
    await agent.order(agent.region.order("j1", "run", None, options=options("sh", "-c", first)))
    await agent.order(agent.region.order("j2", "run", None, options=options("test", "-e", str(mark))))
    assert [(await agent.ended(job)).state for job in ("j1", "j2")] == ["done", "done"]
    assert (await agent.do("j3", "message", None, options={"text": "hello"})).state == "done"
    agent.fetcher.gate.set()
    assert {(await agent.ended(f"i-{package.name}")).state for package in held} == {"done"}


async def test_a_cancel_before_its_turn_and_one_that_is_too_late(agent: Agent) -> None:
    gate = agent.folder / "gate"
    os.mkfifo(gate)
    await agent.order(agent.region.order("j1", "run", None, options=options("cat", str(gate))))
    await agent.order(agent.region.order("j2", "run", None, options=options("touch", str(agent.folder / "ran"))))
    assert (await agent.do("j2", "cancel", None, revision=2)).state == "cancelled"
    await agent.order(agent.region.order("j1", "cancel", None, revision=2))
    await asyncio.to_thread(gate.write_text, "go on")
    late = await agent.ended("j1", 2)
    assert (late.state, late.code) == ("done", "cancel.late")
    assert (await agent.ended("j2")).state == "cancelled"
    assert not (agent.folder / "ran").exists()


async def test_a_message_is_kept_once(agent: Agent) -> None:
    said: dict[str, str | int | bool] = {"text": "Update tonight.\nLeave the machine on.", "title": "Tonight"}
    assert (await agent.do("j1", "message", None, options=said)).state == "done"
    await agent.order(agent.region.order("j1", "message", None, options=said))
    (kept,) = await agent.db.read(messages.listed)
    assert (kept.job, kept.title, kept.text, kept.read) == ("j1", "Tonight", said["text"], 0)


@pytest.mark.parametrize(
    ("error", "code"), [(StoreFull(10, 5, "disk"), "disk.full"), (RuntimeError("ours"), "agent.bug")]
)
async def test_what_goes_wrong_ends_the_job_and_not_the_agent(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fails(*_args: object) -> None:
        raise error

    monkeypatch.setattr(messages, "keep", fails)
    monkeypatch.setattr(journal, "set_running", fails)
    ran = agent.folder / "ran"
    for job, type_, said in (("j1", "message", {"text": "x"}), ("j2", "run", options("touch", str(ran)))):
        record = await agent.do(job, type_, None, options=dict(said))
        assert (record.state, record.code) == ("failed", code)
    assert not ran.exists()
    monkeypatch.undo()
    assert (await agent.do("j3", "message", None, options={"text": "x"})).state == "done"


async def test_an_inventory_is_said_when_it_is_asked_for(agent: Agent) -> None:
    assert (await agent.do("j1", "inventory", None)).state == "done"
    assert len(agent.looks) == 1


async def test_a_restart_is_answered_by_the_next_life(tmp_path: Path, region: Region) -> None:
    async with agent_over(tmp_path / "agent", region) as agent:
        await agent.order(agent.region.order("j1", "restart", None))
        async with asyncio.timeout(60):
            await agent.restart.wait()
        assert not [r for r in agent.post.records if r.receipt]
    async with agent_over(tmp_path / "agent", region) as agent:
        assert (await agent.ended("j1")).state == "done"
        assert not agent.restart.is_set()


async def live(folder: Path, ran: Path, region: Region, *, idempotent: bool) -> tuple[int, int]:
    """An agent that is killed while its program runs; the program's id and how often it has run."""
    folder.mkdir()
    script = f"echo $$ >> {ran}; exec sleep 600"
    order = region.order("j1", "run", None, options=options("sh", "-c", script, idempotent=idempotent))
    (folder / "order.pickle").write_bytes(pickle.dumps((region, {}, order)))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.endpoint.crash_child", str(folder), "0", "moments"),
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": ":".join([str(REPOSITORY), *sys.path])},
        stdout=subprocess.DEVNULL,
    )
    await wait_for(lambda: ran.exists() and bool(ran.read_text().strip()))
    child.send_signal(signal.SIGKILL)
    await child.wait()
    pids = [int(line) for line in ran.read_text().split()]
    return pids[-1], len(pids)


async def wait_for(true: Any) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def test_a_killed_agents_program_is_interrupted_ended_and_never_run_again(tmp_path: Path, region: Region) -> None:
    ran = tmp_path / "ran"
    pid, times = await live(tmp_path / "one", ran, region, idempotent=False)
    assert (bool(programs.identity_of(pid)), times) == (True, 1)
    async with agent_over(tmp_path / "one/agent", region) as agent:
        record = await agent.ended("j1")
        assert (record.state, record.code) == ("interrupted", "program.interrupted")
        assert "The program was started" in record.detail
        await agent.order(region.order("j1", "run", None, options=options("touch", str(tmp_path / "again"))))
    await wait_for(lambda: not programs.identity_of(pid) or _dead(pid))
    assert len(ran.read_text().split()) == 1
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("kind", ["moments", "changes"])
async def test_a_kill_at_any_instant_runs_the_program_once_at_most(tmp_path: Path, region: Region, kind: str) -> None:
    instants, fatal = 1, 0
    while fatal <= instants:
        folder = tmp_path / str(fatal)
        folder.mkdir()
        ran = folder / "ran"
        order = region.order("j1", "run", None, options=options("sh", "-c", f"echo x >> {ran}"))
        (folder / "order.pickle").write_bytes(pickle.dumps((region, {}, order)))
        done = await asyncio.to_thread(crash, folder, fatal, kind)
        if fatal == 0:
            instants = int(done.stdout.split()[-1])
            assert instants > 0
        else:
            assert done.returncode == -signal.SIGKILL, done.stderr
        async with agent_over(folder / "agent", region) as agent:
            await agent.order(order)  # the server repeats what was not acknowledged
            record = await agent.ended("j1")
        times = len(ran.read_text().split()) if ran.exists() else 0
        assert (record.state, times) in {("done", 1), ("interrupted", 1), ("interrupted", 0)}, f"{kind} {fatal}"
        fatal += 1


def crash(folder: Path, fatal: int, kind: str) -> subprocess.CompletedProcess[str]:
    """A life that ends at the instant `fatal`."""
    return subprocess.run(
        [sys.executable, "-m", "tests.endpoint.crash_child", str(folder), str(fatal), kind],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": ":".join([str(REPOSITORY), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_one_that_is_declared_idempotent_runs_again_alone(tmp_path: Path, region: Region) -> None:
    ran = tmp_path / "ran"
    pid, _ = await live(tmp_path / "one", ran, region, idempotent=True)
    async with agent_over(tmp_path / "one/agent", region) as agent:
        await wait_for(lambda: len(ran.read_text().split()) == 2)
        await wait_for(lambda: not programs.identity_of(pid) or _dead(pid))
        os.kill(int(ran.read_text().split()[-1]), signal.SIGTERM)
        assert (await agent.ended("j1")).code == "program.failed"


def _dead(pid: int) -> bool:
    """A zombie whose parent has not looked yet runs no more."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def test_nothing_is_begun_before_the_journal_knows_it(
    tmp_path: Path, region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = asyncio.Event()

    async def forever(_connection: object, *_args: object) -> None:
        stopped.set()
        await asyncio.Event().wait()

    ran = tmp_path / "ran"
    async with agent_over(tmp_path / "agent", region) as agent:
        monkeypatch.setattr(Actions, "_started", forever)
        await agent.order(region.order("j1", "run", None, options=options("touch", str(ran))))
        async with asyncio.timeout(60):
            await stopped.wait()
    monkeypatch.undo()
    async with agent_over(tmp_path / "agent", region) as agent:
        assert (await agent.ended("j1")).state == "interrupted"
    assert not ran.exists()


async def test_records_say_running(agent: Agent) -> None:
    # Longer than a moment: what is over sooner is not told.
    await agent.do("j1", "run", None, options=options("sleep", "1"))
    found: list[StatusRecord] = [r for r in agent.post.records if r.job == "j1"]
    assert [r.state for r in found if r.state not in {"waiting", "ordered"}] == ["running", "done"]
