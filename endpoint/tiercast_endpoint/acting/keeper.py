"""The small process that an installer is the child of: nothing of it lives on unseen.

Rules
- It begins nothing before it is told that the journal knows of it (a line on its standard input).
- Whoever leaves the installer's session and outlives it becomes a child of the keeper: it is ended, and the installer
  counts as failed, for nobody saw its work end.  A service is started by the service manager, so it is not concerned.
- It has no standard input and no terminal to ask a question on.
- Where it was itself killed, what is left of the job is known by its environment, and ended by the agent.
- On SIGTERM it ends all that is below it, and then itself.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

#: What it ends with where something had to be ended, and the last line of output then.
LEFT = 126
_MARK = re.compile(rb"\n\[(\d+) processes were left behind and ended\]\n\Z")

_SOURCE = r"""
import ctypes, os, signal, sys, time
if os.read(0, 1) != b"\n":
    os._exit(125)
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.close(nothing)
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
me = os.getpid()
def below():
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                parents[int(name)] = int(fields[1])
    found, more = [], [me]
    while more:
        above = more.pop()
        inner = [one for one, parent in parents.items() if parent == above]
        found += inner
        more += inner
    return found
def send(number):
    for one in below():
        try:
            os.kill(one, number)
        except OSError:
            pass
def end(*_):
    send(signal.SIGTERM)
    until = time.monotonic() + 4
    while below() and time.monotonic() < until:
        time.sleep(0.05)
    for _ in range(3):
        send(signal.SIGKILL)
    os._exit(143)
signal.signal(signal.SIGTERM, end)
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.execvpe(sys.argv[1], sys.argv[1:], os.environ)
    except OSError as error:
        os.write(2, f"{sys.argv[1]}: {error.strerror}\n".encode())
        os._exit(127)
while True:
    ended, status = os.wait()
    if ended == child:
        break
until = time.monotonic() + 1
while (left := below()) and time.monotonic() < until:
    time.sleep(0.02)
if left:
    while (still := below()):
        send(signal.SIGKILL)
        time.sleep(0.02)
    os.write(2, f"\n[{len(left)} processes were left behind and ended]\n".encode())
    os._exit(126)
code = os.waitstatus_to_exitcode(status)
if code < 0:
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(me, -code)
os._exit(code if code >= 0 else 128 - code)
"""


def kept(argv: Sequence[str]) -> list[str]:
    """The command that runs `argv` under a keeper; to be started gated."""
    return [sys.executable, "-I", "-S", "-c", _SOURCE, *argv]


def left_behind(exit_: int, output: bytes) -> int:
    """How many processes it had to end."""
    found = _MARK.search(output) if exit_ == LEFT else None
    return int(found[1]) if found else 0


def end_strays(job: str) -> int:
    """End processes that have the job in the environment they were started with; how many.  Blocking."""
    mark, found = f"TIERCAST_JOB={job}".encode(), 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                found += 1
    return found
