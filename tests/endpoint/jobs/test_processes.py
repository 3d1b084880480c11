"""Programs that run, by name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tiercast_endpoint.jobs.processes import first_running


def a_process(proc: Path, number: str, comm: str, argv: bytes, exe: str) -> None:
    folder = proc / number
    folder.mkdir(parents=True)
    (folder / "comm").write_text(comm + "\n")
    (folder / "cmdline").write_bytes(argv)
    (folder / "exe").symlink_to(exe)


def test_by_file_by_name_and_by_what_it_calls_itself(tmp_path: Path) -> None:
    a_process(tmp_path, "7", "a-very-long-nam", b"/opt/x/worker\0--all\0", "/opt/x/real (deleted)")
    a_process(tmp_path, "8", "sh", b"", "/bin/dash")
    (tmp_path / "9").mkdir()
    (tmp_path / "self").mkdir()
    for name in ("worker", "real", "sh", "dash", "a-very-long-name-indeed"):
        assert first_running([name], tmp_path) == name
    assert first_running(["nothing", "dash", "sh"], tmp_path) == "dash"
    assert first_running(["nothing", ""], tmp_path) == ""
    assert first_running(["x"], tmp_path / "none") == ""


def test_a_real_one_and_never_ourselves(tmp_path: Path) -> None:
    program = tmp_path / f"tc-{os.getpid()}"
    shutil.copy("/bin/sleep", program)
    assert first_running([program.name]) == ""
    with subprocess.Popen([str(program), "60"]) as child:
        try:
            assert first_running([program.name]) == program.name
        finally:
            child.kill()
