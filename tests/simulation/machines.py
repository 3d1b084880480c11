"""A region of the machines that jobs are made of, in memory: server, two gateways, three endpoints, and their mail.

Rules
- What decides is the real thing: `JobLife` and `merge` at the server, `order_rows` and the merge of statuses over real
  tables at server and gateways, `judge` and `Install` at the endpoints.  What stands between them is a few lines here,
  and keeps what their adapters promise: at least once, in any order, journaled before it is acted on.
- What must never be is asserted where it would happen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC
from functools import partial
from typing import Any

from tiercast_endpoint.jobs import install as i
from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.orders import Accepted, Refused, Repeated, Seen, judge
from tiercast_gateway import tables
from tiercast_gateway.orders import rows as order_rows
from tiercast_gateway.orders import statuses
from tiercast_gateway.why import why
from tiercast_protocol.content.jobs import times
from tiercast_protocol.content.jobs.order import CANCEL, FORCE, SOME, Order
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.understood import must_of
from tiercast_protocol.content.sealed.digest import DIGEST_SIZE
from tiercast_protocol.transfer import calendar
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderBundle, OrderTarget, StatusRecord
from tiercast_server.jobs import life as jl
from tiercast_server.status_merge import Standing, merge

HOUR = 3_600_000
START = 400_000 * HOUR  # a whole hour, far from 1970, so that clocks may be set back
DIGEST = bytes(DIGEST_SIZE)
SERVER = "server"
_BUSY = frozenset(i.Step) - i.RESTING - {i.Step.END}


Way = tuple[str, str]


@dataclass
class Mail:
    """What is under way: in order from one neighbour to the other, as outboxes keep it; and again, at any time."""

    ways: dict[Way, list[Callable[[], bool | None]]] = field(default_factory=dict)
    again: list[Callable[[], bool | None]] = field(default_factory=list)

    def send(self, sender: str, to: str, deliver: Callable[[], bool | None]) -> None:
        """Put a message; `deliver` gives False where it can't be delivered yet."""
        self.ways.setdefault((sender, to), []).append(deliver)

    @property
    def under_way(self) -> list[Way]:
        return [way for way, queue in self.ways.items() if queue]

    def deliver(self, number: int, *, twice: bool = False) -> bool:
        """The next message of one way; whether it went."""
        ways = self.under_way
        if not ways:
            return False
        queue = self.ways[ways[number % len(ways)]]
        if queue[0]() is False:
            return False
        done = queue.pop(0)
        if twice:
            self.again.append(done)
        return True

    def repeat(self, number: int) -> None:
        """One that was delivered comes once more."""
        if self.again:
            self.again.pop(number % len(self.again))()


class Tier:
    """The sub-tree of a server or gateway: its tables, and the ways to its children."""

    def __init__(self, region: Region, name: str) -> None:
        self.region, self.name = region, name
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        for _, schema in tables.SCHEMA:
            self.db.executescript(schema)
        self.routes: dict[str, str] = {}
        self.places: dict[str, int] = {}
        #: The best that reached this tier of each target, reckoned a second way.
        self.best: dict[tuple[str, str], tuple[int, int, int, str]] = {}

    def take(self, bundle: OrderBundle) -> None:
        order = codec.decode(bundle.order, Order)
        if order.expires <= self.region.clock(self.name):
            return
        order_rows.keep(self.db, order, bundle, "", own=False)
        self.pass_on()

    def pass_on(self) -> None:
        for row in order_rows.waiting(self.db, None):
            job, revision, signed, signature, _, _, targets = row
            for target in targets:
                child = self.routes.get(target.node)
                if child is not None:
                    bundle = OrderBundle(order=signed, signature=signature, targets=[target])
                    self.region.mail.send(self.name, child, partial(self.region.order, self.name, child, bundle))
                    order_rows.passed([(child, job, revision, target.node)], self.db)

    def said(self, peer: str, records: Iterable[StatusRecord]) -> None:
        good = [record for record in records if self.routes.get(record.target) == peer]
        for record in good:
            key, rank = (record.job, record.target), (record.revision, record.attempt, record.seq)
            if rank > self.best.get(key, (0, 0, 0, ""))[:3]:
                self.best[key] = (*rank, record.state)
        changed = statuses._upsert(self.db, good)
        for record in changed:
            order_rows.close_if_final(record.job, self.db)
        if changed and self.name == SERVER:
            self.region.intake(changed)
        elif changed:
            self.up(changed)

    def up(self, records: list[StatusRecord]) -> None:
        server = self.region.tiers[SERVER]
        self.region.mail.send(self.name, SERVER, lambda: server.said(self.name, records))

    def placed(self, node: str, via: str, seq: int) -> None:
        """As `Moving.placed`: the node's word of where it is came through `via`."""
        if seq < self.places.get(node, 0):
            return
        old, self.places[node], self.routes[node] = self.routes.get(node), seq, via
        if old is not None and old != via and self.name == SERVER:
            self.region.mail.send(SERVER, old, lambda: self.region.tiers[old].left(node, seq))
        order_rows.unpass(self.db, [node], via)
        self.pass_on()
        if self.name != SERVER:
            self.region.mail.send(self.name, SERVER, lambda: self.region.tiers[SERVER].placed(node, self.name, seq))
            rows = self.db.execute("SELECT record FROM statuses WHERE target = ?", (node,)).fetchall()
            if old != via and rows:
                self.up([codec.decode(row[0], StatusRecord) for row in rows])

    def left(self, node: str, seq: int) -> None:
        """As `Moving.left`: it is elsewhere now."""
        if self.places.get(node, 0) >= seq:
            return
        self.places[node] = seq
        self.routes.pop(node, None)
        order_rows.drop(self.db, [node])

    def check(self) -> None:
        """Merged status equals its parts."""
        rows = self.db.execute("SELECT job, target, revision, attempt, seq, record FROM statuses").fetchall()
        held = {(row[0], row[1]): (*row[2:5], codec.decode(row[5], StatusRecord).state) for row in rows}
        assert held == self.best


@dataclass
class Row:
    """One line of an endpoint's journal, and the machine that is made of it."""

    order: Order
    snapshot: i.Snapshot
    number: int
    seq: int = 0
    state: str = "ordered"
    code: str = ""
    machine: i.Install | None = None
    performing: i.Step | None = None
    sought: bool = False
    begun: list[int] = field(default_factory=list)

    @property
    def final(self) -> bool:
        return STATES[self.state]

    @property
    def turns(self) -> bool:
        """Whether it holds a turn."""
        return not self.final and self.snapshot.step in _BUSY


class Endpoint:
    """One machine: its journal, and the jobs at work."""

    def __init__(self, region: Region, name: str) -> None:
        self.region, self.name = region, name
        self.parent, self.place = "", 0
        self.rows: dict[tuple[str, int], Row] = {}
        self.seq = self.signed = 0

    def now(self) -> int:
        return max(self.region.clock(self.name), self.signed)

    def order(self, bundle: OrderBundle) -> None:
        order = codec.decode(bundle.order, Order)
        newest = max((revision for job, revision in self.rows if job == order.job), default=0)
        verdict = judge(order, Seen(0, self.signed, newest), now_ms=self.region.clock(self.name))
        self.signed = max(self.signed, order.issued)
        if isinstance(verdict, Repeated):
            self.tell(self.rows[order.job, order.revision])
        if not isinstance(verdict, Accepted | Refused):
            return
        row = Row(order, i.Snapshot(order.type if order.type != CANCEL else i.MESSAGE), len(self.rows))
        self.rows[order.job, order.revision] = row
        if isinstance(verdict, Refused):
            self.finish(row, verdict.outcome)
        elif order.type == CANCEL:
            for one in self.earlier(row):
                self.feed(one, i.CancelAsked(force=order.options.get(FORCE) is True))
            self.settle()
        else:
            self.revive(row)
            self.feed(row, i.TimeCame())

    def revive(self, row: Row) -> None:
        row.machine = i.Install(row.snapshot, Gate(times.read(row.order.options), row.order.issued, zone=UTC))
        row.performing, row.sought = None, False

    def earlier(self, cancel: Row) -> list[Row]:
        job, revision = cancel.order.job, cancel.order.revision
        return [row for key, row in self.rows.items() if key[0] == job and key[1] < revision and not row.final]

    def settle(self) -> None:
        """Cancels end when what they cancel has."""
        for row in list(self.rows.values()):
            if row.order.type == CANCEL and not row.final and not self.earlier(row):
                mine = [one for key, one in self.rows.items() if key[0] == row.order.job and one.number < row.number]
                state = mine[-1].state if mine else "cancelled"
                self.finish(row, i.Outcome(state, "" if state == "cancelled" else "cancel.late"))

    def feed(self, row: Row, event: i.Event) -> None:
        if row.machine is None or row.final:
            return
        for command in row.machine.handle(event, now=self.now()):
            self.act(row, command)

    def act(self, row: Row, command: i.Command) -> None:
        match command:
            case i.Record(snapshot):
                if snapshot.begun != row.snapshot.begun:
                    self.check_begin(row, snapshot.begun)
                row.snapshot = snapshot
            case i.Tell(state, code):
                self.say(row, state, code)
            case i.Perform(step):
                assert row.performing is None
                row.performing = step
            case i.Abort():
                row.performing = None
            case i.Rest():
                row.sought = False
            case i.Seek():
                row.sought = True
            case i.Finish(outcome):
                self.finish(row, outcome)
                self.settle()

    def check_begin(self, row: Row, now: int) -> None:
        gate = times.read(row.order.options)
        assert now >= gate.not_before
        assert calendar.rate_at(gate.window, now / 1000, UTC) != 0.0, "outside its window"
        assert not any(
            one.turns and one.snapshot.begun and not one.final for one in self.rows.values() if one is not row
        )
        assert not row.begun, "none twice"
        acknowledged = self.region.jobs[row.order.job].standing[self.name]
        assert not (acknowledged.proved and acknowledged.state == "cancelled"), "none after a cancel was acknowledged"
        row.begun.append(now)

    def finish(self, row: Row, outcome: i.Outcome) -> None:
        assert not row.final, "one final state"
        self.say(row, outcome.state, outcome.code)

    def say(self, row: Row, state: str, code: str) -> None:
        self.seq += 1
        row.seq, row.state, row.code = self.seq, state, code
        self.tell(row)

    def tell(self, row: Row) -> None:
        record = StatusRecord(
            job=row.order.job, revision=row.order.revision, target=self.name, attempt=1, seq=row.seq, state=row.state,
            at=self.now(), code=row.code, receipt=b"signed" if row.final else b"",
        )  # fmt: skip
        parent = self.parent
        if parent:
            self.region.mail.send(self.name, parent, lambda: self.region.tiers[parent].said(self.name, [record]))

    def step(self, *, well: bool) -> None:
        """Whoever is at work gets on by one step; else somebody who waits is given a turn, or looks at the clock."""
        for row in sorted(self.rows.values(), key=lambda row: not row.turns):
            if row.final or row.machine is None:
                continue
            if row.order.expires <= self.now() and row.snapshot.step in i.HARMLESS:
                self.feed(row, i.OrderExpired())
            elif row.performing is not None:
                step, row.performing = row.performing, None
                plan = i.Plan() if step is i.Step.PLAN else None
                self.feed(row, i.StepDone(step, plan) if well else i.StepFailed(step, "x.failed"))
            elif row.sought:
                row.sought = False
                self.feed(row, i.TurnCame())
            else:
                self.feed(row, i.TimeCame())
                continue
            return

    def crash(self) -> None:
        for row in self.rows.values():
            if row.machine is not None and not row.final:
                self.revive(row)
                self.feed(row, i.Recovered())

    def check(self) -> None:
        for row in self.rows.values():
            if not row.final:
                target = why.Target(self.name, row.state, row.code)
                assert why.chain(target, {self.name: self.parent}, {}), "why is never empty"


@dataclass
class Job:
    """A job as the server's rows have it."""

    life: jl.JobLife
    options: dict[str, Any]
    revision: int = 0
    standing: dict[str, Standing] = field(default_factory=dict)
    ordered: set[str] = field(default_factory=set)


class Region:
    """All of it, and what people and clocks do to it."""

    def __init__(self) -> None:
        self.mail = Mail()
        self.clocks: dict[str, int] = {}
        self.tiers = {name: Tier(self, name) for name in (SERVER, "g0", "g1")}
        self.endpoints = {name: Endpoint(self, name) for name in ("pc0", "pc1", "pc2")}
        self.jobs: dict[str, Job] = {}
        #: Whether a clock was set: a tier whose clock is ahead takes an order for expired.
        self.stepped = False
        for name in self.endpoints:
            self.move(name, "g0")
        while self.mail.under_way:
            self.mail.deliver(0)

    def clock(self, node: str) -> int:
        return self.clocks.get(node, START)

    def order(self, sender: str, child: str, bundle: OrderBundle) -> bool:
        """Deliver an order; False while the child can't be reached."""
        if child in self.tiers:
            self.tiers[child].take(bundle)
        elif self.endpoints[child].parent == sender:
            self.endpoints[child].order(bundle)
        else:  # who is away gets it when he is back; who is elsewhere is none of this gateway's any more
            return self.tiers[sender].routes.get(child) != child
        return True

    def move(self, node: str, gateway: str) -> None:
        """The endpoint is below another gateway now, or away ("")."""
        endpoint = self.endpoints[node]
        endpoint.parent = gateway
        if not gateway:
            return
        endpoint.place += 1
        seq = endpoint.place
        self.mail.send(node, gateway, lambda: self.tiers[gateway].placed(node, node, seq))
        for row in endpoint.rows.values():
            endpoint.tell(row)

    # -- the server's rows of jobs -----------------------------------------------------------------------

    def create(self, name: str, nodes: Iterable[str], options: dict[str, Any], hours: int) -> None:
        job = self.jobs[name] = Job(jl.JobLife(self.clock(SERVER) + hours * HOUR), options)
        job.standing = {node: Standing("waiting") for node in nodes}
        self._order(name, "same", ())

    def advance(self, name: str, *events: jl.Event) -> None:
        job, now = self.jobs[name], self.clock(SERVER)
        queue = [command for event in events for command in job.life.handle(event, now=now)]
        while queue:
            match queue.pop(0):
                case jl.Order(type_, nodes, force):
                    self._order(name, type_, nodes, force=force)
                case jl.CloseTargets(state, code, detail, never_ordered, nodes):
                    for node, held in job.standing.items():
                        meant = (not nodes or node in nodes) and not (never_ordered and node in job.ordered)
                        if meant and not held.final:
                            closed = replace(held, state=state, code=code, detail=detail, at=now)
                            job.standing[node] = replace(closed, proved=False, receipt=b"", signature=b"")
                    queue += job.life.handle(jl.Counted(self.counts(name)), now=now)
                case jl.Close(state):
                    assert state == jl.closing_state(self.counts(name))
                case _:
                    pass

    def add(self, name: str, node: str) -> None:
        """Who joins later."""
        job = self.jobs[name]
        if node not in job.standing and job.life.takes_more(self.clock(SERVER)):
            job.standing[node] = Standing("waiting")
            self.advance(name, jl.TargetsAdded((node,)))

    def counts(self, name: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for held in self.jobs[name].standing.values():
            found[held.state] = found.get(held.state, 0) + 1
        return found

    def _order(self, name: str, type_: str, nodes: Iterable[str], *, force: bool = False) -> None:
        job = self.jobs[name]
        names = [node for node in (nodes or job.standing) if not job.standing[node].final]
        if not names:
            return
        job.revision += 1
        options: dict[str, Any] = {SOME: True} if type_ == CANCEL and nodes else {}
        options |= {FORCE: True} if force else {}
        options = options if type_ == CANCEL else job.options
        order = Order(
            region="r", epoch=0, job=name, revision=job.revision, type=type_ if type_ == CANCEL else "install",
            package="app", version="1", package_revision=1, root=DIGEST, issued=self.clock(SERVER),
            expires=max(job.life.expires, self.clock(SERVER)), targets_root=DIGEST, target_count=len(names),
            options=options, must=[] if type_ == CANCEL else must_of(options),
        )  # fmt: skip
        if type_ != CANCEL:
            job.ordered.update(names)
            for node in names:
                job.standing[node] = replace(job.standing[node], state="ordered", proved=False)
        targets = [OrderTarget(node=node, index=0, proof=[]) for node in names]
        self.tiers[SERVER].take(OrderBundle(order=codec.encode(order), signature=b"", targets=targets))

    def intake(self, records: Iterable[StatusRecord]) -> None:
        for record in records:
            job = self.jobs[record.job]
            assert 0 < record.revision <= job.revision
            said = merge(job.standing[record.target], record, proved=STATES[record.state])
            if said is not None:
                job.standing[record.target] = said
        for name in {record.job for record in records}:
            self.advance(name, jl.Counted(self.counts(name)))

    def check(self) -> None:
        for tier in self.tiers.values():
            tier.check()
        for endpoint in self.endpoints.values():
            endpoint.check()
        for name, job in self.jobs.items():
            assert job.life.state == jl.closing_state(self.counts(name)) or job.life.state != "open"
            for node, held in job.standing.items():
                parents = {node: self.endpoints[node].parent, self.endpoints[node].parent: SERVER}
                told = why.chain(why.Target(node, held.state, held.code), parents, {})
                assert bool(told) != held.final, "why is empty for what has ended, and for nothing else"
