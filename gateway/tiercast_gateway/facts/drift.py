"""How the machines below stand to the region's assignments: counted here, said above as one record for each.

Rules (docs/protocol.md, section 15; docs/desired-state.md)
- What the region requires of which children is kept; how they stand is computed out of the inventories that are held
  here, never added up: so a machine that comes, goes or says something else needs no bookkeeping.
- Only what changed is said, at most every `PACE_S`; the highest `seq` of an assignment stands.
- It is known with the link to the centre down: the owner of the site sees it at this gateway's own socket.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from tiercast_protocol.content.jobs.assigned import HOLDS, Rule, stands, wants
from tiercast_protocol.errors import MessageInvalid, TiercastError, UsageError
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.drift import Assigned, DriftTold

if TYPE_CHECKING:
    from tiercast_gateway.above import Above
    from tiercast_protocol.content.trust.keys import PrivateKey
    from tiercast_protocol.node.control.peers import Role
    from tiercast_protocol.node.control.verbs import Call
    from tiercast_protocol.node.database import Database

log = structlog.get_logger(__name__)

SCHEMA = """
CREATE TABLE assigned(
    name TEXT PRIMARY KEY, seq INTEGER NOT NULL, requires TEXT NOT NULL, lacks INTEGER NOT NULL,
    nodes TEXT NOT NULL) WITHOUT ROWID;
"""
#: Seconds between two looks, and most machines that are named in a record.
PACE_S, MOST = 2.0, 50
_SHOWN = 5


class _Facts(msgspec.Struct):
    packages: dict[str, str] = {}


class _Word(msgspec.Struct):
    """What is read of an inventory."""

    facts: _Facts


@dataclass(slots=True)
class _Kept:
    """One assignment: what it requires, of whom, and what was said of it above last."""

    seq: int
    rule: Rule
    nodes: list[str]
    told: tuple[Any, ...] = ()


@dataclass(slots=True)
class Standing:
    """How the machines of one assignment stand: counted by state, and those that are not as they are to be."""

    counts: Counter[str] = field(default_factory=Counter)
    away: list[tuple[str, str, str]] = field(default_factory=list)


def standing(rule: Rule, nodes: list[str], packages: Mapping[str, Mapping[str, str]]) -> Standing:
    """How these nodes stand, of whom that is known which packages are installed."""
    found = Standing()
    for node in nodes:
        state, version = stands(rule, packages.get(node))
        found.counts[state] += 1
        if state != HOLDS:
            found.away.append((node, state, version))
    return found


class Drift:
    """The assignments of one gateway's children.

    Args:
        me: this gateway.
        db: its database, which holds the inventories.
        above: the way up.
        key: of this gateway, which signs what it says; None says it unsigned, to itself.
        now_ms: the clock.
        pace: seconds between two looks.
    """

    def __init__(
        self,
        me: str,
        db: Database,
        above: Above,
        *,
        key: PrivateKey | None = None,
        now_ms: Callable[[], int] | None = None,
        pace: float = PACE_S,
    ) -> None:
        self._key = key
        self._me, self._db, self._above, self._pace = me, db, above, pace
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._kept: dict[str, _Kept] = {}
        self._read: dict[str, tuple[tuple[int, int], dict[str, str]]] = {}
        self._wake = asyncio.Event()

    async def load(self) -> None:
        """Take up what was kept."""
        rows = await self._db.read(
            lambda c: c.execute("SELECT name, seq, requires, lacks, nodes FROM assigned").fetchall()
        )
        for name, seq, requires, lacks, nodes in rows:
            self._kept[name] = _Kept(seq, Rule(name, wants(requires), bool(lacks)), json.loads(nodes))
        self._wake.set()

    async def take(self, message: Assigned) -> None:
        """The region says what is required of whom; an older word than the last changes nothing."""
        held = self._kept.get(message.name)
        if held is not None and held.seq >= message.seq:
            return
        if not message.nodes:
            await self._db.write(lambda c: c.execute("DELETE FROM assigned WHERE name = ?", (message.name,)))
            self._kept.pop(message.name, None)
            return
        try:
            rule = Rule(message.name, wants(message.requires), message.lacks)
        except UsageError as error:  # of a later version
            log.warning("assignment.unread", assignment=message.name, reason=error.what)
            return
        row = (message.name, message.seq, message.requires, message.lacks, json.dumps(message.nodes))
        await self._db.write(lambda c: c.execute("INSERT OR REPLACE INTO assigned VALUES (?, ?, ?, ?, ?)", row))
        self._kept[message.name] = _Kept(message.seq, rule, list(message.nodes))
        self._wake.set()

    def known(self) -> list[str]:
        """The assignments that children of this gateway are in."""
        return sorted(self._kept)

    def changed(self) -> None:
        """A machine below said something new of itself, or is no more below."""
        if self._kept:
            self._wake.set()

    def told_again(self) -> None:
        """Another parent: say all of it once more."""
        for one in self._kept.values():
            one.told = ()
        self._wake.set()

    async def run(self) -> None:
        """Say above what changed, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._tell()
            except (TiercastError, OSError) as error:  # a full disk, for one: it is said when there is room
                log.warning("drift not told", reason=str(error))
                self._wake.set()
            await asyncio.sleep(self._pace)

    async def _tell(self) -> None:
        packages = await self._packages()
        for name, one in list(self._kept.items()):
            found = standing(one.rule, one.nodes, packages)
            now = (one.seq, dict(found.counts), tuple(found.away[:MOST]))
            if now == one.told:
                continue
            word = DriftTold(
                node=self._me,
                name=name,
                of=one.seq,
                at=self._now_ms(),
                counts=dict(found.counts),
                some=found.away[:MOST],
            )
            await self._above.send(word.signed(self._key) if self._key is not None else word)
            one.told = now
            log.info("drift", assignment=name, **found.counts)

    async def _packages(self) -> dict[str, dict[str, str]]:
        """By node what is installed, of those that are asked about and said so; only what is new is read again."""
        wanted = {node for one in self._kept.values() for node in one.nodes}
        held = {node: number for node, (number, _) in self._read.items()}
        rows, there = await self._db.read(lambda c: _rows(c, wanted, held))
        for node in self._read.keys() - there:
            del self._read[node]
        for node, generation, seq, data in rows:
            try:
                self._read[node] = ((generation, seq), codec.decode(data, _Word).facts.packages)
            except MessageInvalid as error:
                log.warning("inventory.unread", node=node, reason=str(error))
                self._read.pop(node, None)
        return {node: packages for node, (_, packages) in self._read.items()}

    # -- for the owner of the site -----------------------------------------------------------------------

    def table(self) -> list[tuple[str, Role, Callable[[Call], Awaitable[Any]]]]:
        """Name, role and handler of each verb."""
        return [("assignment.list", "viewer", self.list_), ("assignment.show", "viewer", self.show)]

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """Every assignment that children of this gateway are in, with these counted."""
        del call
        packages = await self._packages()
        return [self._shown(name, one, packages) for name, one in sorted(self._kept.items())]

    async def show(self, call: Call) -> dict[str, Any]:
        """One assignment, and the children that are not as it wants them."""
        name = call.text("assignment")
        one = self._kept.get(name)
        if one is None:
            raise UsageError(
                code="assignment.unknown",
                what=f"No child of {self._me} is in an assignment that is called {name[:60]!r}.",
                todo="`tiercast assignment list` shows those that are known here; the server knows all.",
            )
        packages = await self._packages()
        away = standing(one.rule, one.nodes, packages).away
        rows = [
            {"node": node, "state": state, "version": version, "wants": "", "job": "", "failures": 0, "again": 0}
            for node, state, version in away[:MOST]
        ]
        more = max(0, len(away) - MOST)
        return {**self._shown(name, one, packages), "machines": rows, "more": more, "sites": []}

    def _shown(self, name: str, one: _Kept, packages: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        found = standing(one.rule, one.nodes, packages)
        some: dict[str, list[str]] = {}
        for node, state, _ in found.away:
            some.setdefault(state, []).append(node)
        return {
            "assignment": name,
            "says": str(one.rule),
            "target": f"children of {self._me}",
            "state": "active",
            "said": "",
            "rollout": "",
            "by": "",
            "created": 0,
            "targets": len(one.nodes),
            "counts": dict(found.counts),
            "some": {state: names[:_SHOWN] for state, names in some.items()},
        }


def _rows(
    c: Connection, wanted: set[str], held: Mapping[str, tuple[int, int]]
) -> tuple[list[tuple[str, int, int, bytes]], set[str]]:
    """Of the wanted nodes those words that are not held yet, and all that said one."""
    known = {
        node: (generation, seq)
        for node, generation, seq in c.execute("SELECT node, generation, seq FROM inventories")
        if node in wanted
    }
    fresh = [node for node, number in known.items() if held.get(node) != number]
    rows: list[tuple[str, int, int, bytes]] = []
    for node in fresh:
        rows += c.execute("SELECT node, generation, seq, data FROM inventories WHERE node = ?", (node,)).fetchall()
    return rows, set(known)
