"""Why a job does not go on, child by child (docs/protocol-steering.md, section 7).

Rules
- What was said (windows, budgets, suspensions, metering) goes before what the machine sees (priority, pauses, rates).
- A reason is the same value as long as it is the same reason: pauses and rates are told as terms, not as instants.  So
  `since` is when it was seen first.
- Looked at once a second while something is wanted; `tell(job, reasons)` only when they are others than before, and
  never of what comes and goes with every chunk (`PASSING`): of that only `now` tells.
- Who waits for chunks from above has no reason for those above: whoever is there says it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tiercast_gateway.steering.desired import OUTPUT, Desired
from tiercast_protocol.content.jobs.reason import Reason, because, facts_of, read
from tiercast_protocol.transfer import adaptive, gates, views
from tiercast_protocol.transfer.policy import Pace

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.transfer.views import JobView, LaneView

EVERY_SECONDS = 1.0
#: A look takes one part in so many of the time at most: with five hundred children it is a tenth of a second.
LOOK_SHARE = 60
#: Most children whose reasons are told of one job; of the rest nobody could read more.
MOST_CHILDREN = 500
MIB = 1 << 20
#: What the machine sees of a job that goes, or would if it were its turn.
_WHILE_OTHERS = frozenset({"", gates.RATE, views.CREDIT})
#: Moments are below it.
_MOST = 1 << 53
#: A pause that is longer is told with its end.
_LONG_PAUSE = 60.0
#: Reasons that are told to nobody above: they change with every chunk.
PASSING = frozenset({"sending", "credit", "chunk.awaited", "order.way", "yields"})

#: By what the machine calls it (`views`, `gates`, `adaptive`); the terms behind a rate or a pause go before.
CODE_OF: dict[str, str] = {
    "": "sending",
    views.FROM_ABOVE: "chunk.awaited",
    views.CREDIT: "credit",
    views.PRIORITY: "priority",
    views.SUSPENDED: "suspended",
    views.METERED: "link.metered",
    views.PARKED: "lane.parked",
    gates.RATE: "rate",
    gates.SHUT: "rate",
    gates.SEGMENT_PAUSE: "pause",
    gates.INTERVAL_PAUSE: "pause",
    gates.SPENT: "budget.spent",
    adaptive.YIELDS: "yields",
}


def reason_of(
    lane: LaneView | None, view: JobView | None, said: Desired, *, child: str, job: str, above: Reason | None
) -> Reason | None:
    """Why nothing, or so little, of the job goes to the child; None when the child wants nothing of it now.

    Args:
        lane: the child's, as the machine shows it; None when it has none.
        view: the job on that lane; None when the child wants nothing of it now.
        said: what was said to this node.
        child: its name.
        job: its name.
        above: why chunks don't come here; None when they do.
    """
    if (why := said.why(child, job)) is not None:
        return why
    if view is None or lane is None or view.state == "done":
        return None
    if view.reason == views.FROM_ABOVE and above is not None:
        return above
    if (terms := _terms(view, lane, said, job)) is not None:
        first = _first(view, lane, said) if view.reason in {"", gates.RATE} else ""
        return because("priority", first=first) if first else terms
    return _seen(view, lane)


def _seen(view: JobView, lane: LaneView) -> Reason:
    """What the machine sees, where no terms say it."""
    code = CODE_OF.get(view.reason, "sending")
    if code == "priority":
        return because(code, first=_before(view, lane) or "a job of higher priority")
    if code == "yields" and lane.slowed is not None:
        return because(code, rate=int(lane.slowed), queueing=round(1000 * (lane.queueing or 0)))
    return because(code)


def _terms(view: JobView, lane: LaneView, said: Desired, job: str) -> Reason | None:
    """The strictest of the terms under which it goes on slowly, and whose they are."""
    policy, output = said.jobs.get(job), said.links.get(OUTPUT)
    whose = {
        "job": policy.pace if policy is not None else Pace(),
        "child": lane.wish,
        "link": lane.pace,
        "output": output.pace if output is not None else Pace(),
    }
    split = max(whose, key=lambda one: _silence(whose[one].pause, whose[one].segment))
    interval = max(whose, key=lambda one: _silence(whose[one].frame_pause, whose[one].frames))
    rate = min(whose, key=lambda one: whose[one].rate or float("inf"))
    if (pace := whose[split]).segment and view.reason in {"", gates.SEGMENT_PAUSE, gates.RATE}:
        long = pace.pause >= _LONG_PAUSE and view.until is not None
        then = view.sent.segments + 1 if long else None
        return because("pause", pause=pace.pause, segment=pace.segment, next=then, terms=split)
    if (pace := whose[interval]).frames and view.reason in {"", gates.INTERVAL_PAUSE, gates.RATE}:
        return because("pause", frame_pause=pace.frame_pause * 1000, frames=pace.frames, terms=interval)
    most = whose[rate].rate
    return because("rate", rate=most, terms=rate) if most and view.reason in {"", gates.RATE, views.CREDIT} else None


def _before(view: JobView, lane: LaneView) -> str:
    """The jobs of higher priority on the lane that want something."""
    return ", ".join(sorted(one.job for one in lane.jobs if one.priority > view.priority and one.state != "done"))


def _first(view: JobView, lane: LaneView, said: Desired) -> str:
    """Those of them that take what the link carries: no terms of their own hold them."""
    going = [one for one in lane.jobs if one.reason in _WHILE_OTHERS and not _own_rate(said, one.job)]
    return _before(view, replace(lane, jobs=tuple(going)))


def _own_rate(said: Desired, job: str) -> bool:
    policy = said.jobs.get(job)
    return policy is not None and bool(policy.pace.rate)


def _silence(pause: float, after: int | None) -> float:
    """How strict a pause is: seconds per byte, or per frame."""
    return pause / after if after else 0.0


class Reasons:
    """Of one sub-tree: reasons by job and child.

    Args:
        tree: the sub-tree.
        tell: called with a job and its reasons as text, whenever they change.
    """

    def __init__(self, tree: SubTree, tell: Callable[[str, str], None]) -> None:
        self._tree, self._tell = tree, tell
        self._told: dict[str, str] = {}
        self._open: dict[str, list[str]] = {}
        #: Those of them for which nothing travels: only who is away stops them here.
        self._bare: frozenset[str] = frozenset()
        #: By job and child: the reason without its beginning, and when it was seen first.
        self._seen: dict[str, dict[str, tuple[Reason, int]]] = {}
        self._stale = asyncio.Event()
        self._stale.set()

    def changed(self) -> None:
        """Orders or results came: others may be waiting now."""
        self._stale.set()

    def now(self, job: str) -> dict[str, Reason]:
        """Why, by child, for the children of which something is still expected: also what is passing."""
        return self._find(job, self._lanes())

    async def run(self) -> None:
        """Look once a second while a job is open, less often where a look takes long, until cancelled."""
        while True:
            if not self._open:
                await self._stale.wait()
            if self._stale.is_set():
                self._stale.clear()
                bare = await self._tree.orders.awaited_bare()
                self._open = bare | self._tree.wakes.waiting() | await self._tree.orders.awaited()
                self._bare = frozenset(bare)
                self._seen = {job: seen for job, seen in self._seen.items() if job in self._open}
            began = time.monotonic()
            lanes = self._lanes() if self._open else {}
            texts = {job: encoded(lasting(self._find(job, lanes, MOST_CHILDREN))) for job in self._open}
            for job, text in texts.items():
                if self._told.get(job, "") != text:
                    self._tell(job, text)
            for job in self._told.keys() - texts.keys():
                self._tell(job, "")
            self._told = {job: text for job, text in texts.items() if text}
            await asyncio.sleep(max(EVERY_SECONDS, LOOK_SHARE * (time.monotonic() - began)))

    def _lanes(self) -> dict[str, LaneView]:
        lanes = {lane.child: lane for lane in self._tree.streams.machine.lanes()}
        self._tree.streams.going.look({child: lane.charged for child, lane in lanes.items()}, time.monotonic())
        return lanes

    def _above(self) -> Reason:
        """Why chunks don't come here."""
        tree = self._tree
        if not tree.above.connected:
            return because("parent.lost", peer=tree.above.parent)
        if not tree.above.parent and (lost := tree.upkeep.repair.missing):
            return because("chunk.sought", chunks=lost)
        return because("chunk.awaited", above=tree.above.parent or "its library")

    def _find(self, job: str, lanes: Mapping[str, LaneView], most: int | None = None) -> dict[str, Reason]:
        tree = self._tree
        short = tree.depot.short
        # To the mebibyte: the same lack of room is the same reason.
        full = because("depot.full", free=short.free // MIB * MIB) if short is not None else None
        above = full or self._above()
        found: dict[str, Reason] = {}
        for child in self._open.get(job, ())[:most]:
            if not tree.children.online(child):
                waking = tree.wakes.reason(job, child)
                if waking is not None:
                    found[child] = self._dated(job, child, waking.at(node=tree.name, peer=child))
                    continue
                found[child] = because("away", node=tree.name, peer=child, since=tree.children.since(child))
                continue
            if job in self._bare:
                if (held := tree.pruning.reason(job, child)) is not None:
                    found[child] = self._dated(job, child, held.at(node=tree.name, peer=child))
                continue
            lane = lanes.get(child)
            view = next((one for one in lane.jobs if one.job == job), None) if lane is not None else None
            why = reason_of(lane, view, tree.steering.now, child=child, job=job, above=above)
            # Whoever was refused, or told that nobody has it, wants nothing for a while, and then asks again.
            why = why or tree.pruning.reason(job, child) or full or (above if self._seeks(job, child, above) else None)
            if why is not None:
                found[child] = self._dated(job, child, why.at(node=tree.name, peer=child))
        return found

    def _seeks(self, job: str, child: str, above: Reason) -> bool:
        """Whether the child last waited for chunks that are still sought."""
        known = self._seen.get(job, {}).get(child)
        return above.code == "chunk.sought" and known is not None and known[0].code == above.code

    def _dated(self, job: str, child: str, reason: Reason) -> Reason:
        seen = self._seen.setdefault(job, {})
        known = seen.get(child)
        if known is None or known[0] != reason:
            known = seen[child] = (reason, time.time_ns() // 1_000_000)
        return replace(reason, since=known[1])


def lasting(found: Mapping[str, Reason]) -> dict[str, Reason]:
    """Without what is passing."""
    return {child: reason for child, reason in found.items() if reason.code not in PASSING}


def encoded(reasons: Mapping[str, Reason]) -> str:
    """As a status record carries them: code, figures, and children with the beginning of each; "" for none."""
    rows: dict[str, list[Any]] = {}
    for child, reason in sorted(reasons.items()):
        facts: dict[str, Any] = facts_of(reason)
        if reason.peer != child:
            facts["peer"] = reason.peer
        row = rows.setdefault(json.dumps([reason.code, facts]), [reason.code, facts, {}])
        row[2][child] = reason.since
    return json.dumps(list(rows.values()), separators=(",", ":")) if rows else ""


def decoded(text: str, *, node: str = "") -> dict[str, Reason]:
    """What `node` said, by child; nothing of what is not of that shape."""
    found: dict[str, Reason] = {}
    try:
        rows: Any = json.loads(text) if text else []
        for code, said, children in rows:
            one = read(str(code), said, node=node)
            since = children if isinstance(children, dict) else {}
            for child in map(str, children):
                began = since.get(child, 0)
                began = began if isinstance(began, int) and 0 < began < _MOST else one.since
                found[child] = one.about(one.peer or child, began)
    except (ValueError, TypeError, RecursionError):
        return {}
    return found
