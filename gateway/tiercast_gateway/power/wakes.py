"""Wakes the machines of this node for their jobs, and says which did not wake (docs/power.md).

Rules
- `waking` decides in which turn; here is known who is wanted: direct children with an open order (guests too, as long
  as their place is kept: their order is here), where their link says so, else the order, else a group that they are in;
  from when on the order needs them; never one for whom the order is kept by its condition.
- Whom a packet was sent to stands in the database before it is sent: also after a restart it is known who was woken
  by us.  He is told when he connects (`woken.v1`), and so may sleep again after the job.
- Looked at once a second while somebody is wanted, less often where a look takes long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog

from tiercast_gateway.power.power import Asleep, PowerSettings, Waker
from tiercast_gateway.power.waking import (
    ASLEEP,
    AWAKE,
    FAILED,
    Command,
    Connected,
    Event,
    Forget,
    Left,
    NotSent,
    Restored,
    Say,
    Send,
    Sleeper,
    TimeCame,
    Unwanted,
    Waking,
    Wanted,
    Woke,
)
from tiercast_gateway.steering import said as s
from tiercast_protocol.content.facts.inventory import Inventory
from tiercast_protocol.content.jobs import jobtypes, power
from tiercast_protocol.content.jobs.order import CANCEL, Order
from tiercast_protocol.content.jobs.reason import Reason, because
from tiercast_protocol.errors import MessageInvalid, TiercastError, UsageError
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.power import Woken

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.node.control.peers import Role
    from tiercast_protocol.node.control.verbs import Call

log = structlog.get_logger(__name__)

#: Seconds between two looks; a look takes one part in so many of the time at most.
LOOK_S, LOOK_SHARE = 1.0, 20
#: What a person woke, in place of a job.
BY_HAND = ""
_MOST_RESULTS = 1_000
_MS = 1000

Failed: TypeAlias = Callable[[str, Mapping[str, Reason]], Awaitable[None]]


class Wakes:
    """Of one sub-tree.

    Args:
        tree: the sub-tree.
        settings: how machines are woken.
        waker: wakes them; the adapter that the settings name by default.
    """

    def __init__(self, tree: SubTree, settings: PowerSettings, waker: Waker | None = None) -> None:
        self._tree, self._limits = tree, settings.limits()
        self._waker = waker or settings.waker()
        self.machine = Waking(self._limits)
        self._jobs: dict[str, Order] = {}
        #: Those of them that name machines which a group has woken.
        self._marked: set[str] = set()
        self._results: dict[str, dict[str, Any]] = {}
        self._wake = asyncio.Event()
        #: Called with a machine that did not wake, and the reason by job; what hears the records of gateways needs it
        #: only where there are none: at the server.
        self.on_failed: Failed | None = None

    async def load(self) -> None:
        """Take up whom an earlier life was waking."""
        for node, body in self._tree.steering.said.all(s.WOKEN).items():
            self._step(Restored(node, tuple(body["keys"]), float(body["since"])))
        self._wake.set()

    def job_changed(self, order: Order, open_: bool) -> None:  # noqa: FBT001 - the callback of `Orders`
        """A job was opened, or closed."""
        kind = jobtypes.TYPES.get(order.type)
        if order.type == CANCEL or kind is None or kind.role != "endpoint":
            return
        if open_:
            self._jobs[order.job] = order
        else:
            self._jobs.pop(order.job, None)
        self._wake.set()

    async def run(self) -> None:
        """Wake whoever is wanted, until cancelled."""
        pending: list[Command] = []
        while True:
            began = time.monotonic()
            try:
                pending = await self._act([*pending, *await self._look()])
            except (TiercastError, OSError) as error:
                log.warning("waking again", reason=str(error))
            busy = self._asking() or any(one.state != AWAKE or one.woken for one in self.machine.sleepers.values())
            pause = max(LOOK_S, LOOK_SHARE * (time.monotonic() - began)) if busy else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()

    # -- who is wanted -----------------------------------------------------------------------------------

    def _asking(self) -> list[Order]:
        """The open jobs for which somebody may be woken."""
        links = self._tree.steering.said.all(s.LINK)
        always = any(body.get(power.WAKE) is True for body in links.values())
        return [
            order
            for order in self._jobs.values()
            if always or order.options.get(power.WAKE) is True or order.job in self._marked
        ]

    def _is_meant(self, order: Order, child: str, *, marked: bool) -> bool:
        """Whether the order wakes this child: as the link says, else the order, else a group that he is in."""
        links = self._tree.steering.said
        for name in (child, ""):
            word = (links.get(s.LINK, name) or {}).get(power.WAKE)
            if isinstance(word, bool):
                return word
        said = order.options.get(power.WAKE)
        return said if isinstance(said, bool) else marked

    async def _look(self) -> list[Command]:
        found = self._presence()
        wanted = await self._wanted(time.time() * _MS)
        for node, sleeper in list(self.machine.sleepers.items()):
            for key in {*sleeper.keys, *sleeper.woken} - {BY_HAND}:
                if (node, key) not in wanted:
                    found += self._step(Unwanted(node, key))
        for node, key in sorted(wanted):
            held = self.machine.sleepers.get(node)
            if not self._tree.children.online(node) and (held is None or key not in held.keys):
                found += self._step(Wanted(node, key))
        return [*found, *self._step(TimeCame())]

    def _presence(self) -> list[Command]:
        """Who came, and who left."""
        found: list[Command] = []
        for node, sleeper in list(self.machine.sleepers.items()):
            online = self._tree.children.online(node)
            if online != (sleeper.state == AWAKE):
                found += self._step(Connected(node) if online else Left(node))
        return found

    async def _wanted(self, now: float) -> set[tuple[str, str]]:
        """Children, and the jobs for which they are to be awake."""
        lodges = self._tree.lodging.guests.holds
        users = [user for user in self._tree.enrolment.children() if user.role == "endpoint"]
        own = {user.name for user in users if not user.guest or lodges(user.name)}
        found: set[tuple[str, str]] = set()
        self._marked = await self._tree.db.read(_marked) & self._jobs.keys() if self._jobs else set()
        for order in self._asking():
            if power.wanted_at(order.options) > now or order.expires <= now:
                continue
            for node, marked in await self._tree.db.read(partial(_waiting, order.job)):
                meant = node in own and self._is_meant(order, node, marked=marked)
                if meant and not self._tree.pruning.reason(order.job, node):
                    found.add((node, order.job))
        return found

    # -- what is done ------------------------------------------------------------------------------------

    def _step(self, event: Event) -> list[Command]:
        return self.machine.handle(event, now=time.time())

    async def _act(self, commands: list[Command]) -> list[Command]:
        """Carry them out; what follows from it."""
        more: list[Command] = []
        if commands:
            self._tree.steering.reasons.changed()
        for command in commands:
            match command:
                case Send(node, keys):
                    more += await self._send(node, keys)
                case Woke(node, keys):
                    log.info("woke", node=node, jobs=list(keys))
                    self._note(node, "awake")
                    await self._tree.post.send(node, Woken(jobs=list(keys)))
                    more += self._step(Unwanted(node, BY_HAND))
                case Forget(node):
                    await self._tree.steering.said.put(s.WOKEN, {node: None})
                case Say(node, tries, since, why):
                    log.warning("did not wake", node=node, tries=tries, reason=why)
                    self._note(node, "failed", tries=tries, since=int(since * _MS), why=why)
                    if self.on_failed is not None:
                        await self.on_failed(node, self._failed(node))
                    more += self._step(Unwanted(node, BY_HAND))
        return await self._act(more) if more else []

    async def _send(self, node: str, keys: tuple[str, ...]) -> list[Command]:
        sleeper = self.machine.sleepers.get(node)
        since = sleeper.since if sleeper is not None else time.time()
        await self._tree.steering.said.put(s.WOKEN, {node: {"keys": list(keys), "since": since}})
        data = await self._tree.db.read(partial(_word, node))
        try:
            networks = codec.decode(data, Inventory).facts.networks if data else {}
            await asyncio.to_thread(self._waker.wake, Asleep(node, networks))
        except (UsageError, OSError, MessageInvalid) as error:
            why = error.what if isinstance(error, UsageError) else getattr(error, "strerror", None) or str(error)
            return self._step(NotSent(node, why))
        log.info("waking", node=node, jobs=list(keys))
        self._note(node, "waking", tries=sleeper.tries if sleeper is not None else 1, since=int(since * _MS))
        return []

    def _failed(self, node: str) -> dict[str, Reason]:
        """Why, by job, a machine that did not wake carries none of them out."""
        sleeper = self.machine.sleepers.get(node)
        keys = [key for key in sleeper.keys if key != BY_HAND] if sleeper is not None else []
        found = {key: self.reason(key, node) for key in keys}
        return {key: one.at(node=self._tree.name, peer=node) for key, one in found.items() if one is not None}

    def _note(self, node: str, state: str, **more: Any) -> None:
        self._results.pop(node, None)
        self._results[node] = {"node": node, "state": state, "at": int(time.time() * _MS), **more}
        while len(self._results) > _MOST_RESULTS:
            del self._results[next(iter(self._results))]

    # -- what is told ------------------------------------------------------------------------------------

    def reason(self, job: str, child: str) -> Reason | None:
        """Why the child, who is not there, does not carry out the job; None where he is not to be woken for it."""
        sleeper = self.machine.sleepers.get(child)
        if sleeper is None or job not in sleeper.keys:
            return None
        return _reason(sleeper, self._limits.tries)

    def waiting(self) -> dict[str, list[str]]:
        """By job the children that sleep and are to be awake for it."""
        found: dict[str, list[str]] = {}
        for node, sleeper in self.machine.sleepers.items():
            for key in sleeper.keys:
                if key != BY_HAND:
                    found.setdefault(key, []).append(node)
        return found

    def table(self) -> list[tuple[str, Role, Any]]:
        """Name, role and handler of each verb."""
        return [("node.wake", "operator", self.wake), ("wake.list", "viewer", self.list_)]

    async def wake(self, call: Call) -> list[dict[str, Any]]:
        """Wake these children (`nodes`) by hand: {node, state} of each; those that are there stay as they are."""
        return await self.woken(call.texts("nodes"))

    async def woken(self, names: list[str]) -> list[dict[str, Any]]:
        """As `wake`.

        Raises:
            UsageError: power.child.
        """
        own = {user.name for user in self._tree.enrolment.children() if user.role == "endpoint"}
        if strange := sorted(set(names) - own):
            raise UsageError(
                code="power.child",
                what=f"No machine below {self._tree.name} itself: {', '.join(strange[:20])}.",
                todo="A gateway wakes the machines that are its own children. Nobody was woken.",
            )
        commands: list[Command] = []
        for name in names:
            if self._tree.children.online(name):
                self._note(name, "awake")
            else:
                self._note(name, "asleep")
                commands += self._step(Wanted(name, BY_HAND))
        await self._act(commands)
        self._wake.set()
        return [self._results[name] for name in names]

    async def list_(self, call: Call) -> list[dict[str, Any]]:
        """Whom this node woke, is waking, or could not wake; of `nodes`, if given: {node, state, at, jobs, ...}."""
        return await self.listed(call.texts("nodes", []))

    async def listed(self, names: list[str]) -> list[dict[str, Any]]:
        """As `list_`."""
        found = dict(self._results)
        for node, sleeper in self.machine.sleepers.items():
            if sleeper.keys:
                row = found.setdefault(node, {"node": node, "at": int(time.time() * _MS)})
                found[node] = {**row, "state": sleeper.state, "jobs": [key for key in sleeper.keys if key]}
        return [found[node] for node in sorted(found) if not names or node in names]


def _reason(sleeper: Sleeper, most: int) -> Reason:
    began = int(sleeper.since * _MS)
    if sleeper.state == FAILED:
        until = int(sleeper.next * _MS)
        if sleeper.why:
            return because("wake.failed", until=until, why=sleeper.why)
        rounds = sleeper.rounds if sleeper.rounds > 1 else None
        return because("wake.failed", until=until, tries=sleeper.tries, began=began, rounds=rounds)
    if sleeper.state == ASLEEP:
        return because("wake.queued")
    return because("wake.waking", tries=sleeper.tries, most=most, began=began)


def _marked(c: Connection) -> set[str]:
    return {row[0] for row in c.execute("SELECT DISTINCT job FROM order_targets WHERE wake = 1")}


def _waiting(job: str, c: Connection) -> list[tuple[str, bool]]:
    """The targets of a job's open orders that have not ended, and whether a group has them woken."""
    rows = c.execute(
        "SELECT t.node, max(t.wake) FROM order_targets t JOIN orders o USING (job, revision)"
        " WHERE o.job = ? AND o.open = 1 AND NOT EXISTS (SELECT 1 FROM statuses s"
        " WHERE s.job = t.job AND s.target = t.node AND s.revision >= t.revision AND s.final = 1) GROUP BY t.node",
        (job,),
    )
    return [(row[0], bool(row[1])) for row in rows]


def _word(node: str, c: Connection) -> bytes:
    row = c.execute("SELECT data FROM inventories WHERE node = ?", (node,)).fetchone()
    return row[0] if row is not None else b""
