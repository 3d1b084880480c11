"""Becoming another user before a program of his is begun (docs/jobs.md, "Run a program").

Rules
- A small process gives groups and ids up, and then becomes the program.  It waits for a line first, so that whoever
  begins it can write down which process it is before anything of the program has run.
- Only an agent that is root can become another; the agent's own user costs nothing and needs nothing.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from dataclasses import dataclass

#: Becomes another user, if one is named, and the program; its arguments: uid, gid, groups, program, arguments.
_BECOME = """
import os, sys
if os.read(0, 1) != b"\\n":
    os._exit(125)
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
os.close(nothing)
uid, gid, groups = sys.argv[1:4]
if uid:
    os.setgroups([int(group) for group in groups.split(",")])
    os.setgid(int(gid))
    os.setuid(int(uid))
try:
    os.execv(sys.argv[4], sys.argv[4:])
except OSError as error:
    os.write(2, f"{sys.argv[4]}: {error.strerror}\\n".encode())
    os._exit(127)
"""


class CanNotBecomeError(Exception):
    """There is no such user, or the agent can't become him; says so."""


@dataclass(frozen=True, slots=True)
class User:
    """Whose rights a program has; `change` when they are not the agent's own."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    change: bool

    def environment(self) -> dict[str, str]:
        """What says whose rights it has."""
        return {"HOME": self.home, **({"USER": self.name, "LOGNAME": self.name} if self.name else {})}


def user_named(name: str) -> User:
    """The user `name`, or the agent's own.

    Raises:
        CanNotBecomeError: there is none of this name, or the agent may not.
    """
    own = os.geteuid()
    try:
        found = pwd.getpwnam(name) if name else pwd.getpwuid(own)
    except KeyError:
        if name:
            raise CanNotBecomeError(f"This machine has no user {name!r}.") from None
        return User("", own, os.getegid(), (), os.environ.get("HOME", "/"), change=False)
    if own not in {0, found.pw_uid}:
        detail = f"The agent runs as {pwd.getpwuid(own).pw_name} and can't become {name}; only one that is root can."
        raise CanNotBecomeError(detail)
    groups = tuple(os.getgrouplist(found.pw_name, found.pw_gid))
    return User(found.pw_name, found.pw_uid, found.pw_gid, groups, found.pw_dir, change=found.pw_uid != own)


def command_as(user: User | None, program: str, arguments: Sequence[str]) -> list[str]:
    """What begins `program` with the user's rights (None: the agent's own), once it was given a line."""
    change = user is not None and user.change
    ids = (str(user.uid), str(user.gid), ",".join(map(str, user.groups))) if user and change else ("", "", "")
    return [sys.executable, "-I", "-S", "-c", _BECOME, *ids, program, *arguments]
