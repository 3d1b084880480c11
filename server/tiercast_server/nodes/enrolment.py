"""Tokens and joining nodes, in the database.

Rules
- One request is one write transaction, so of two that race with one token exactly one wins.
- What follows from a decision (the parent learns of the node, the node gets its reply, waiting jobs get their
  order) is put for handover in the same transaction.
- The secret is wiped when the token is used; a new token for a name voids the older ones.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.trust.credential import Credential, Token, sign_credential
from tiercast_protocol.content.trust.joining import join_password, join_user
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import Admitted, Dismissed, EnrolReply, EnrolRequest, TokenIssued
from tiercast_server import handover
from tiercast_server.changes import Changes
from tiercast_server.database.tables import nodes as nodes_table
from tiercast_server.database.tables import tokens
from tiercast_server.jobs.jobs import Jobs
from tiercast_server.nodes import nodes, placings
from tiercast_server.nodes.enrolment_rules import Accept, IssuedToken, Refuse, Repeat, judge
from tiercast_server.nodes.nodes import ROLES, Node, check_name
from tiercast_server.region import Region

_log = structlog.get_logger(__name__)
MAX_TTL_S = 30 * 86_400
_SECRET = 32


class Enrolment:
    """Who becomes a node, and who ceases to be one.  `wake`: something was put for the tree."""

    def __init__(
        self, region: Region, jobs: Jobs, changes: Changes, wake: Callable[[], None], settling: placings.Settling
    ) -> None:
        self._settling = settling
        self._region = region
        self._jobs = jobs
        self._changes = changes
        self._wake = wake

    async def check_invitation(self, name: str, role: str, parent: str, ttl_s: int, *, replace: bool) -> Node | None:
        """Everything that can be wrong with an invitation; the parent's row, None where it is the server.

        Raises:
            UsageError: name.invalid, node.role, ttl.invalid, node.exists, node.unknown, parent.invalid, node.conflict.
        """
        async with self._region.db.read() as connection:
            return await self._check(connection, name, role, parent, ttl_s, replace=replace)

    async def invite(
        self, name: str, role: str, parent: str, ttl_s: int, *, url: str, replace: bool = False
    ) -> dict[str, Any]:
        """Make a one-time token for a node below `parent` ("" is the server), whose broker is at `url`."""
        await self.check_invitation(name, role, parent, ttl_s, replace=replace)
        parent = parent or self._region.server
        now = self._region.clock()
        token = Token(
            region=self._region.name,
            parent=parent,
            url=url,
            token_id=secrets.token_hex(4),
            secret=secrets.token_bytes(_SECRET),
            name=name,
            role=role,
            region_key=self._region.key.public,
            expires=now + ttl_s * 1000,
        )
        issued = TokenIssued(
            token_id=token.token_id,
            password_hash=hash_password(join_password(token.secret)),
            parent=parent,
            expires=token.expires,
        )
        async with self._region.db.write() as connection:
            await self._check(connection, name, role, parent, ttl_s, replace=replace)
            await self._keep_name(connection, name, role, parent, now)
            await connection.execute(delete(tokens).where(tokens.c.name == name, tokens.c.used_at.is_(None)))
            await connection.execute(
                insert(tokens).values(
                    id=token.token_id,
                    secret=token.secret,
                    name=name,
                    role=role,
                    parent=parent,
                    replaces=replace,
                    issued=now,
                    expires=token.expires,
                )
            )
            await handover.put(connection, issued, cause=token.token_id)
        self._wake()
        return {"token": token.text(), "expires": token.expires, "parent": parent, "url": url}

    async def request(self, request: EnrolRequest) -> None:
        """A joining node asked; decide, and put the reply."""
        async with self._region.db.write() as connection:
            token = await self._token(connection, request.token_id)
            held = await nodes.find_any(connection, request.name)
            holder = select(nodes_table.c.name).where(nodes_table.c.public_key == request.public_key)
            key_holder = (await connection.execute(holder)).scalars().first()
            verdict = judge(request, token, held, key_holder, now=self._region.clock())
            touched: list[str] = []
            match verdict:
                case Refuse(code, reason):
                    reply = EnrolReply(token_id=request.token_id, accepted=False, code=code, reason=reason)
                    _log.warning("enrolment refused", node=request.name, token=request.token_id, code=code)
                case Repeat():
                    assert token is not None  # noqa: S101 - the rule above says so
                    reply = codec.decode(token.reply, EnrolReply)
                case Accept(generation):
                    assert token is not None  # noqa: S101 - the rule above says so
                    reply, touched = await self._admit(connection, request, token, generation)
            await handover.put(connection, reply, receiver=join_user(request.token_id), cause=request.token_id)
        self._wake()
        self._changes.touch(*touched)

    async def remove(self, name: str) -> dict[str, Any]:
        """Take a node out of the region; its parent's broker lets it in no more.

        Raises:
            UsageError: node.unknown or node.in-use.
        """
        async with self._region.db.write() as connection:
            touched = await self.remove_in(connection, name)
        self._wake()
        self._changes.touch(*touched)
        return {"name": name, "jobs": touched}

    async def remove_in(self, connection: AsyncConnection, name: str) -> list[str]:
        """`remove`, in this transaction; the jobs that it touched."""
        node = await nodes.remove(connection, name)
        touched = await self._jobs.removed(connection, name)
        await handover.put(connection, Dismissed(name=name), cause=name)
        await placings.forget(connection, name, node.parent)
        if node.role == "gateway":
            await self._settling.settle(connection)
        return touched

    async def _admit(
        self, connection: AsyncConnection, request: EnrolRequest, token: IssuedToken, generation: int
    ) -> tuple[EnrolReply, list[str]]:
        now = self._region.clock()
        credential = Credential(
            region=self._region.name,
            name=request.name,
            role=request.role,
            parent=token.parent,
            public_key=request.public_key,
            generation=generation,
            issued=now,
            server=self._region.server,
        )
        body, signature = sign_credential(credential, self._region.key)
        reply = EnrolReply(token_id=token.id, accepted=True, credential=body, signature=signature)
        await connection.execute(
            update(nodes_table)
            .where(nodes_table.c.name == request.name)
            .values(
                role=request.role,
                parent=token.parent,
                state="joined",
                public_key=request.public_key,
                password_hash=request.password_hash,
                generation=generation,
                joined=now,
                url="",
            )
        )
        await connection.execute(
            update(tokens)
            .where(tokens.c.id == token.id)
            .values(used_at=now, used_key=request.public_key, secret=b"", reply=codec.encode(reply))
        )
        admitted = Admitted(
            name=request.name,
            role=request.role,
            parent=token.parent,
            public_key=request.public_key,
            password_hash=request.password_hash,
            generation=generation,
            token_id=token.id,
        )
        await handover.put(connection, admitted, cause=token.id)
        await placings.note_admission(connection, token.parent, request.name, guest=False, generation=generation)
        if generation > 1:
            await placings.resend(connection, request.name, self._region.server)
        await self._settling.settle(connection, request.name if request.role == "endpoint" else None)
        _log.info("node joined", node=request.name, role=request.role, parent=token.parent, generation=generation)
        return reply, await self._jobs.joined(connection, request.name)

    async def _check(
        self, connection: AsyncConnection, name: str, role: str, parent: str, ttl_s: int, *, replace: bool
    ) -> Node | None:
        check_name("node", name)
        if role not in ROLES:
            raise UsageError(code="node.role", what=f"No node is a {role!r}.", todo=f"Roles: {', '.join(ROLES)}.")
        if not 0 < ttl_s <= MAX_TTL_S:
            raise UsageError(
                code="ttl.invalid",
                what=f"A token can't be good for {ttl_s} s.",
                todo=f"Choose 1 to {MAX_TTL_S} seconds.",
            )
        held = await nodes.find(connection, name)
        self._check_name_free(name, role, parent or self._region.server, held, replace=replace)
        if parent in {"", self._region.server}:
            return None
        above = await nodes.get(connection, parent)
        if above.role != "gateway" or not above.has_joined or above.name == name:
            reason = "is no gateway" if above.role != "gateway" else "has not joined yet"
            raise UsageError(
                code="parent.invalid",
                what=f"{parent!r} {reason}, so nothing can be below it.",
                todo="Name a gateway that has joined, or leave the parent out for the server.",
            )
        return above

    def _check_name_free(self, name: str, role: str, parent: str, held: Node | None, *, replace: bool) -> None:
        taken = held is not None and held.has_joined
        if name == self._region.server:
            raise UsageError("node.exists", f"{name!r} is the server of this region.", todo="Choose another name.")
        if taken and not replace:
            raise UsageError(
                code="node.exists",
                what=f"{name!r} has joined already.",
                todo="Choose another name; or, to give this node a new key, invite it with --replace.",
            )
        if held is not None and taken and (held.parent, held.role) != (parent, role):
            raise UsageError(
                code="node.conflict",
                what=f"{name!r} is a {held.role} below {held.parent}, and a replacement takes the same place.",
                todo=f"`tiercast node remove {name}` first, then invite it to its new place.",
            )

    async def _keep_name(self, connection: AsyncConnection, name: str, role: str, parent: str, now: int) -> None:
        held = await nodes.find_any(connection, name)
        if held is None:
            await connection.execute(
                insert(nodes_table).values(name=name, role=role, parent=parent, state="invited", invited=now)
            )
        elif not held.has_joined:
            await connection.execute(
                update(nodes_table)
                .where(nodes_table.c.name == name)
                .values(role=role, parent=parent, state="invited", invited=now)
            )

    @staticmethod
    async def _token(connection: AsyncConnection, token_id: str) -> IssuedToken | None:
        row = (await connection.execute(select(tokens).where(tokens.c.id == token_id))).one_or_none()
        if row is None:
            return None
        return IssuedToken(
            id=row.id,
            secret=row.secret,
            name=row.name,
            role=row.role,
            parent=row.parent,
            replaces=row.replaces,
            expires=row.expires,
            used_key=row.used_key,
            reply=row.reply,
        )
