"""A run of tests that is killed: the database server that it began ends with it, and its folder with the next run."""

import os
import select
import subprocess
import sys
import time
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


def test_a_killed_run_leaves_no_database_server_and_no_folder() -> None:
    paths = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    command = [sys.executable, "-c", _RUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}) as run:
        assert run.stdout is not None
        word, pid = run.stdout.readline().split()
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
