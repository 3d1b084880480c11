"""Orders that machines would only wait with: kept on their way while their condition is not true there.

Rules (docs/jobs.md, "Conditions")
- Tested by what the machine said of itself last, before its order goes over the last link; so neither the order nor a
  byte of content does.  The machine tests again, before it fetches and right before it installs.
- In doubt the order goes: where the machine said nothing yet, or a fact is not known, or the condition makes no sense,
  or testing all takes more than the time that conditions have.
- An order that says to skip goes at once: how it ended is the machine's own signed word.
- Tested again when the machine says something new, and when orders are looked at anyway (a restart, another route).
- A direct child is judged by itself.  The sub-tree of another gateway is kept as a whole: only while the condition is
  true of nobody in it for whom the order is here (docs/adr/0011-pruning-sub-trees.md).  Once it is of one, the
  order goes there for all of them, and that gateway judges each: by words that come to it sooner than here.
- A job that gateways add newcomers to goes to every gateway: they must know it to do that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from sqlite3 import Connection
from typing import Any

import msgspec
import structlog

from tiercast_gateway.facts import software_rows
from tiercast_protocol.content.facts import software
from tiercast_protocol.content.facts.condition import TIME_LIMIT_S, compile_condition
from tiercast_protocol.content.facts.inventory import SOFTWARE, Inventory
from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.content.jobs.order import CANCEL, Order
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.content.jobs.vouching import SITE
from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec

log = structlog.get_logger(__name__)

_PART = 500
#: After a look again it rests so many times as long as that took, but no longer: with 10,000 machines below, each of
#: which says something new now and then, it would look all the time.
REST, LONGEST_REST_S = 19, 60.0


class Pruning:
    """What is kept here, by job and machine.

    Args:
        db: this node's database, with the inventories of those below.
        me: this node's name.
    """

    def __init__(self, db: Database, me: str) -> None:
        self._db, self._me = db, me
        self._kept: dict[str, dict[str, Reason]] = {}
        self._tested: dict[str, set[str]] = {}
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        #: Passes on what waits of a job; set by who has the orders.
        self.pass_on: Callable[[str], Awaitable[None]] | None = None

    async def keeps(self, order: Order, ways: Mapping[str, Sequence[str]]) -> set[str]:
        """The targets for which the order stays here for now; `ways` are targets by the child on the way to them."""
        conditions = _conditions(order)
        if not conditions:
            self._kept.pop(order.job, None)
            return set()
        # What is said while it is tested comes too late for this test, and must not be missed by the next.
        self._tested[order.job] = {target for targets in ways.values() for target in targets}
        try:
            found = await self._found(order, conditions, ways)
        finally:
            del self._tested[order.job]
        self._kept.pop(order.job, None)
        if found:
            self._kept[order.job] = found
            log.info("orders kept", job=order.job, machines=len(found))
        return set(found)

    async def _found(
        self, order: Order, conditions: tuple[str, ...], ways: Mapping[str, Sequence[str]]
    ) -> dict[str, Reason]:
        near = [child for child, targets in ways.items() if list(targets) == [child]]
        found = await self._false(conditions, near)
        for child, targets in ways.items():
            if child not in near and SITE not in order.options:
                kept = await self._none_true(conditions, targets)
                # Of the child itself one of them is told: why nothing of the job goes to it.
                found |= kept | ({child: next(iter(kept.values()))} if kept else {})
        return found

    async def _none_true(self, conditions: tuple[str, ...], targets: Sequence[str]) -> dict[str, Reason]:
        """Why none of these fits; {} once one may."""
        found: dict[str, Reason] = {}
        for at in range(0, len(targets), _PART):
            some = list(targets[at : at + _PART])
            kept = await self._false(conditions, some)
            if len(kept) < len(some):
                return {}
            found.update(kept)
        return found

    async def _false(self, conditions: tuple[str, ...], names: Sequence[str]) -> dict[str, Reason]:
        """Those of whom it is not true, by what they said last, and why."""
        facts: dict[str, bytes] = {}
        for at in range(0, len(names), _PART):
            some = list(names[at : at + _PART])
            facts.update(await self._db.read(lambda c, some=some: _facts(c, some)))  # type: ignore[misc]
        lists: dict[str, tuple[bytes, bytes]] = {}
        if any(SOFTWARE in condition for condition in conditions):
            lists = await self._db.read(lambda c: software_rows.of_nodes(c, list(names)))
        return await asyncio.to_thread(_test, conditions, facts, self._me, lists) if facts else {}

    def reason(self, job: str, target: str) -> Reason | None:
        """Why the order of `job` is not passed on for `target`."""
        return self._kept.get(job, {}).get(target)

    def facts_changed(self, nodes: Iterable[str]) -> None:
        """These said something new of themselves."""
        names = set(nodes)
        waiting = (*self._kept.items(), *self._tested.items())
        due = {job for job, kept in waiting if not names.isdisjoint(kept)}
        if due:
            self._due |= due
            self._wake.set()

    def job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened, or closed."""
        if not open_:
            self._kept.pop(order.job, None)

    async def run(self) -> None:
        """Look again at what may go, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, set()
            began = time.monotonic()
            for job in sorted(due):
                if self.pass_on is not None:
                    await self.pass_on(job)
            await asyncio.sleep(min((time.monotonic() - began) * REST, LONGEST_REST_S))


def _conditions(order: Order) -> tuple[str, ...]:
    """Those for which the order may be kept."""
    if order.type == CANCEL or not provisos.hangs_on(order.type, order.options):
        return ()
    try:
        said = provisos.read(order.options)
    except UsageError:  # of a newer region: the machine says so itself
        return ()
    return () if said.skip else said.conditions


def _facts(connection: Connection, names: Sequence[str]) -> dict[str, bytes]:
    marks = ",".join("?" * len(names))
    query = f"SELECT node, data FROM inventories WHERE node IN ({marks})"  # noqa: S608 - question marks
    return dict(connection.execute(query, tuple(names)).fetchall())


def _test(
    conditions: Sequence[str], facts: dict[str, bytes], me: str, lists: dict[str, tuple[bytes, bytes]]
) -> dict[str, Reason]:
    """By machine: which condition is not true there; those for whom no time is left go.  Blocking (CPU)."""
    found: dict[str, Reason] = {}
    end = time.thread_time() + TIME_LIMIT_S
    for node, data in facts.items():
        if time.thread_time() > end:
            log.warning("conditions cost too much", conditions=list(conditions), machines=len(facts))
            break
        try:
            said = msgspec.json.encode(codec.decode(data, Inventory).facts).decode()
            if node in lists:
                said = software.joined(said, software.as_json(*lists[node]))
            for condition in conditions:
                tested = compile_condition(condition).test(node, said)
                if not tested.true and not tested.unknown:
                    values: dict[str, Any] = {"condition": condition, "values": tested.values}
                    found[node] = because("condition.false", node=me, peer=node, **values)
                    break
        except (UsageError, MessageInvalid):
            continue
    return found
