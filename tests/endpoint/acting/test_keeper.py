"""The process that an installer is the child of."""

from __future__ import annotations

import subprocess
import sys

from tiercast_endpoint.acting.keeper import LEFT, kept, left_behind


def run(*argv: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(kept(argv), input=b"\n", capture_output=True, check=False, timeout=60)


def test_it_ends_as_the_program_does() -> None:
    assert run("sh", "-c", "echo hello; exit 7").returncode == 7
    assert run("sh", "-c", "echo hello").stdout == b"hello\n"
    assert run("sh", "-c", "kill -TERM $$").returncode == -15
    assert run("sh", "-c", "kill -KILL $$").returncode == -9
    assert run("/none").returncode == 127
    assert run("cat").stdout == b"", "there is nothing on standard input"


def test_it_begins_nothing_before_it_is_told() -> None:
    ran = subprocess.run(kept(["echo", "begun"]), input=b"", capture_output=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (125, b"")


def test_who_left_is_ended_and_counted() -> None:
    ran = run("sh", "-c", "setsid sleep 900 & setsid sh -c 'trap \"\" TERM; sleep 900' & exit 0")
    assert ran.returncode == LEFT
    assert left_behind(ran.returncode, ran.stderr) >= 2
    assert left_behind(0, ran.stderr) == 0
    assert run("sh", "-c", "sleep 0.1 & exit 0").returncode == 0, "who is about to end is waited for"


def test_a_sigterm_ends_all_below() -> None:
    script = "setsid sh -c 'echo ready; exec sleep 900' & sleep 900"
    process = subprocess.Popen(kept(["sh", "-c", script]), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.stdout.readline() == b"ready\n"
    process.terminate()
    # The pipe ends when the last of them has.
    assert process.stdout.read() == b""
    assert process.wait(60) == 143
    process.stdout.close()
    assert sys.platform == "linux"
