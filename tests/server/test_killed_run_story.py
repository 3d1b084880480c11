"""A run of tests that is killed: what it began ends with it, and the folder of its database with the next run."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import sweep

_RUN = """
import time
from pathlib import Path
from tests.support.postgres import running
with running() as server:
    folder = Path(server.address("x").partition("host=")[2])
    print(folder, (folder / "data/postmaster.pid").read_text().splitlines()[0], flush=True)
    time.sleep(600)
"""


_COMMANDS = """
import os, sys, time
from commands import Commands
print(Commands(sys.executable, ("json",))._served(os.environ), flush=True)
time.sleep(600)
"""


@contextmanager
def run_of(program: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A process as a run of tests is one, and the words that it said; killed in the end."""
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}) as run:
        try:
            assert run.stdout is not None
            yield run, run.stdout.readline().split()
        finally:
            run.kill()


def test_a_killed_run_leaves_no_database_server_and_no_folder() -> None:
    with run_of(_RUN) as (run, (word, pid)):
        folder, server = Path(word), os.pidfd_open(int(pid))
        try:
            run.kill()
            assert select.select([server], [], [], 60)[0], "the server outlives the run"
        finally:
            os.close(server)
    sweep()
    assert folder.exists(), "a young one may be one that is being made"
    os.utime(folder, (0, time.time() - 3600))
    sweep()
    assert not folder.exists()


def test_a_killed_run_leaves_no_process_that_forks_commands() -> None:
    with run_of(_COMMANDS) as (run, (word,)):
        assert Path(word).exists()
        run.kill()
        deadline = time.monotonic() + 60
        while Path(word).parent.exists():
            assert time.monotonic() < deadline, "it outlives the run"
            time.sleep(0.01)
