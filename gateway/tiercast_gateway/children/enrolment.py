"""Who may connect to this node's own broker: children, and nodes that are about to join.

Rules (docs/protocol.md, section 8)
- The server decides who is a node; what it decided comes down as `TokenIssued`, `Admitted` and `Dismissed`
  and is applied by the parent that it names.
- A token is a broker user of its own, `join-<token id>`, until it expires or the node that it made says
  `Hello`: the reply to its request must still reach it after it was admitted.
- Applied means: committed here, then told to the broker.  At start the broker is told everything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Protocol

import structlog

from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import Admitted, TokenIssued
from tiercast_protocol.wire.topics import JOIN_PREFIX

log = structlog.get_logger(__name__)

PRUNE_SECONDS = 30.0


class UserList(Protocol):
    """The broker, as far as its users go."""

    async def set_users(self, users: dict[str, str]) -> None:
        """These names with these password hashes, and no others, may connect."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """One row: `expires` in milliseconds since 1970, 0 is never; `token_id` is what a child joined with.

    `guest`: it belongs elsewhere, and may come while its own parent is away (`lodging`).
    """

    name: str
    password_hash: str
    role: str
    public_key: bytes
    generation: int
    token_id: str
    expires: int
    guest: bool = False


class Enrolment:
    """The users of this node's broker."""

    def __init__(self, db: Database, broker: UserList) -> None:
        self._db, self._broker = db, broker
        self.users: dict[str, User] = {}
        #: Of them, those that belong here, and those that may be guests: made when it is asked for, until they change.
        self._sorted: tuple[list[User], list[User]] | None = None
        self._telling = asyncio.Lock()
        #: The guests that have a place here.
        self.lodged: Callable[[], Collection[str]] = tuple
        #: Told whenever users were removed: their lanes, routes and outboxes go too.
        self.on_removed: Callable[[list[str]], Awaitable[None]] | None = None

    async def load(self) -> None:
        """Read the users and tell the broker; once, at start."""
        rows = await self._db.read(
            lambda c: c.execute(
                "SELECT name, password_hash, role, public_key, generation, token_id, expires, guest FROM users"
            ).fetchall()
        )
        self.users = {row[0]: _user(row) for row in rows}
        self._sorted = None
        await self._tell()

    async def run(self) -> None:
        """Remove tokens that expired, until cancelled."""
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            await self.prune(_now())

    def known(self, name: str) -> bool:
        """Whether this name may speak on our broker."""
        return name in self.users

    def children(self) -> list[User]:
        """The nodes here, without those that are about to join, and without guests that have no place."""
        if self._sorted is None:
            nodes = [user for _, user in sorted(self.users.items()) if not user.name.startswith(JOIN_PREFIX)]
            self._sorted = [one for one in nodes if not one.guest], [one for one in nodes if one.guest]
        own, guests = self._sorted
        lodged = self.lodged()
        here = [user for user in guests if user.name in lodged] if lodged else []
        return sorted(own + here, key=lambda user: user.name) if here else list(own)

    async def issue(self, token: TokenIssued) -> None:
        """Let `join-<token id>` in."""
        name = JOIN_PREFIX + token.token_id
        await self._put(User(name, token.password_hash, "join", b"", 0, token.token_id, token.expires))

    async def admit(self, node: Admitted) -> None:
        """Let a child in, from now on with this password."""
        await self._put(
            User(
                node.name,
                node.password_hash,
                node.role,
                node.public_key,
                node.generation,
                node.token_id,
                expires=0,
                guest=node.guest,
            )
        )

    async def remove(self, names: list[str]) -> None:
        """These are not let in any more."""
        await self._db.write(lambda c: c.executemany("DELETE FROM users WHERE name = ?", [(n,) for n in names]))
        for name in names:
            self.users.pop(name, None)
        self._sorted = None
        await self._tell()
        if self.on_removed is not None:
            await self.on_removed(names)

    async def arrived(self, name: str) -> str:
        """The child `name` connected: its token has done its work.  The join name that went, or ""."""
        user = self.users.get(name)
        join = JOIN_PREFIX + user.token_id if user is not None and user.token_id else ""
        if join not in self.users or join == name:
            return ""
        await self.remove([join])
        return join

    async def prune(self, now: int) -> list[str]:
        """Remove what expired before `now`; the names."""
        old = [user.name for user in self.users.values() if 0 < user.expires <= now]
        if old:
            log.info("token.expired", count=len(old))
            await self.remove(old)
        return old

    async def _put(self, user: User) -> None:
        if self.users.get(user.name) == user:
            return
        await self._db.write(lambda c: _upsert(c, user))
        self.users[user.name] = user
        self._sorted = None
        await self._tell()

    async def _tell(self) -> None:
        async with self._telling:
            await self._broker.set_users({user.name: user.password_hash for user in self.users.values()})


def _user(row: tuple[str, str, str, bytes, int, str, int, int]) -> User:
    name, password_hash, role, public_key, generation, token_id, expires, guest = row
    return User(name, password_hash, role, public_key, generation, token_id, expires, guest == 1)


def _upsert(connection: Connection, user: User) -> None:
    connection.execute(
        "INSERT INTO users(name, password_hash, role, public_key, generation, token_id, expires, guest)"
        " VALUES (?,?,?,?,?,?,?,?)"
        " ON CONFLICT(name) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role,"
        " public_key = excluded.public_key, generation = excluded.generation, token_id = excluded.token_id,"
        " expires = excluded.expires, guest = excluded.guest",
        (
            user.name,
            user.password_hash,
            user.role,
            user.public_key,
            user.generation,
            user.token_id,
            user.expires,
            int(user.guest),
        ),
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
