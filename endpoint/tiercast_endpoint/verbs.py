"""What can be asked of the agent: over its control socket, and over the tree.

Rules
- Only looking: what is done here is ordered by the region.  But for three things that are its owner's: below which of
  the parents that the region allows the machine is, where one of them is now, and which messages were read.
- The same readings answer the socket's verbs and the tree's questions.
- Every verb stands in one table with the role that it needs.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from tiercast_endpoint.jobs import journal
from tiercast_endpoint.jobs.called import called
from tiercast_endpoint.jobs.showing import describe
from tiercast_endpoint.owner import messages
from tiercast_endpoint.trees import holdings
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.giving import VERB, give
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.wire.envelope import Envelope
from tiercast_protocol.wire.messages import Answer, Query, body_of

#: Jobs shown when nobody says how many.
LIMIT = 100
Reading = Callable[[dict[str, Any]], Awaitable[Any]]


class Parenting(Protocol):
    """Where the agent is, and may be (`Roaming`)."""

    def choose(self, name: str) -> None:
        """Go below `name`."""
        ...

    async def point(self, text: str, name: str) -> dict[str, Any]:
        """A parent's new address, from a human."""
        ...

    def shown(self) -> dict[str, Any]:
        """Home, present parent, candidates, reasons."""
        ...


class Readings:
    """What can be read.

    Args:
        db: the agent's journal.
        state: gives what `status` shows.
        chunk: gives the stored form of a chunk that is held in any way; raises `ChunkMissing`.
        staged: gives how many chunks of a package lie in staging, and their bytes.
        roaming: where the agent is, and may be.
    """

    def __init__(
        self,
        db: Database,
        state: Callable[[], Awaitable[dict[str, Any]]],
        chunk: Callable[[bytes], Awaitable[bytes]],
        staged: Callable[[bytes], Awaitable[tuple[int, int]]],
        roaming: Parenting,
    ) -> None:
        self._db = db
        self._roaming = roaming
        self._state = state
        self._chunk = chunk
        self._staged = staged
        #: What answers the socket otherwise than the tree.
        self.at_socket: dict[str, Reading] = {}
        self.table: dict[str, Reading] = {
            "status": self._status,
            "packages": self._packages,
            "jobs": self._jobs,
            "job.show": self._job,
            "parents": self._parents,
            "messages": self._messages,
        }

    def register(self, verbs: Verbs) -> None:
        """Put all into the socket's table."""
        for name, reading in {**self.table, **self.at_socket}.items():
            verbs.add(name, "viewer", _as_handler(reading))
        verbs.add("parents.move", "operator", self._move)
        verbs.add("parents.set", "operator", self._set_parent)
        verbs.add("messages.read", "operator", self._read_messages)

    async def _messages(self, args: dict[str, Any]) -> list[dict[str, object]]:
        """What was written to the owner of this machine."""
        unread = args.get("unread") is True
        return [one.shown() for one in await self._db.read(lambda c: messages.listed(c, unread=unread))]

    async def _read_messages(self, call: Call) -> list[dict[str, object]]:
        """Mark messages as read, all when no number is given: the owner's word, so never over the tree."""
        numbers: list[Any] = call.args.get("numbers") or []
        now = time.time_ns() // 1_000_000
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise UsageError("argument.invalid", "numbers must be a list of whole numbers.", "messages.read")
        missing = await self._db.write(lambda connection: messages.mark_read(connection, numbers, now))
        if missing:
            raise UsageError(
                code="message.unknown",
                what=f"No message has the number {missing[0]}.",
                todo="`tiercast-endpoint messages` shows every message's number. Nothing was marked.",
            )
        return await self._messages({})

    async def _parents(self, args: dict[str, Any]) -> dict[str, Any]:
        """Home, present parent and candidates, and why it is where it is."""
        del args
        return self._roaming.shown()

    async def _move(self, call: Call) -> dict[str, Any]:
        """Go below another of its candidates: the owner's wish, so never over the tree."""
        self._roaming.choose(call.text("parent"))
        return self._roaming.shown()

    async def _set_parent(self, call: Call) -> dict[str, Any]:
        """A parent's new address, which counts when the parent there proves itself; never over the tree."""
        return await self._roaming.point(call.text("address"), call.text("name", ""))

    async def answer(self, envelope: Envelope) -> Answer:
        """The answer to a question that came over the tree."""
        query = body_of(envelope, Query)
        try:
            asked = {VERB: self._give, "depot.holds": self._holds}
            reading = asked.get(query.verb) or self.table.get(query.verb)
            if reading is None:
                raise UsageError("verb.unknown", f"{query.verb[:80]!r} can't be asked of an endpoint.")  # noqa: TRY301
            return Answer(query=envelope.id, result=await reading(dict(query.args)))
        except UsageError as error:
            told = {"code": error.code, "what": error.what, "where": error.where, "todo": error.todo}
            return Answer(query=envelope.id, error=told)

    async def _give(self, args: dict[str, Any]) -> dict[str, object]:
        """Chunks by their digests, out of staging or of installed files, for whoever above lost them."""
        return await give(args.get("digests"), args.get("offset"), self._chunk)

    async def _holds(self, args: dict[str, Any]) -> dict[str, int]:
        """How many chunks of a package lie in staging, and whether it is installed."""
        root = args.get("root")
        if not isinstance(root, bytes):
            raise UsageError("argument.invalid", "root must be a digest.", "depot.holds")
        chunks, size = await self._staged(root)
        trees = await self._db.read(holdings.trees)
        return {"chunks": chunks, "bytes": size, "installed": int(any(tree.root == root for tree in trees))}

    async def _status(self, args: dict[str, Any]) -> dict[str, Any]:
        """Who the agent is, whether its parent is there, what it holds and does, and what it counted."""
        del args
        return await self._state() | {"counters": METRICS.snapshot()}

    async def _packages(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        """What is installed."""
        del args
        found = await self._db.read(holdings.installed)
        trees = {tree.tree: tree for tree in await self._db.read(holdings.trees)}
        shown = []
        for one in found:
            tree, previous = trees.get(one.tree), trees.get(one.previous)
            shown.append(
                {
                    "package": one.package,
                    "version": one.version,
                    "revision": one.revision,
                    "root": one.root.hex(),
                    "tree": one.tree,
                    "previous": previous.version if previous else "",
                    "files": tree.files if tree else 0,
                    "size": tree.size if tree else 0,
                    "job": one.job,
                    "at": one.at,
                }
            )
        return shown

    async def _jobs(self, args: dict[str, Any]) -> list[dict[str, Any]]:
        """The newest jobs first."""
        limit = args.get("limit", LIMIT)
        if type(limit) is not int or not 0 < limit <= 10_000:  # noqa: PLR2004 - an answer's bound
            raise UsageError("argument.invalid", "limit must be a whole number from 1 to 10000.", "jobs")
        jobs = await self._db.read(lambda connection: journal.latest_jobs(connection, limit))
        return [{key: value for key, value in describe(job).items() if key != "programs"} for job in jobs]

    async def _job(self, args: dict[str, Any]) -> dict[str, Any]:
        """One job, its newest revision, with its programs' output."""
        job = args.get("job")
        if not isinstance(job, str):
            raise UsageError("argument.invalid", "job must be the id of a job.", "job.show")
        found = await self._db.read(lambda connection: journal.revisions(connection, called(connection, job)))
        if not found:
            raise UsageError(
                code="job.unknown",
                what=f'No job "{job[:80]}" came here.',
                todo="`tiercast-endpoint jobs` lists those that did.",
            )
        return describe(found[-1]) | {"revisions": [describe(one) for one in found[:-1]]}


def _as_handler(reading: Reading) -> Callable[[Call], Awaitable[Any]]:
    async def handler(call: Call) -> Any:
        return await reading(call.args)

    handler.__doc__ = reading.__doc__
    return handler
