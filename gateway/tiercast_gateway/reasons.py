"""Why a job does not go on, child by child (docs/protocol-steering.md, section 7).

Rules
- What was said (windows, budgets, suspensions, metering) goes before what the machine sees (priority, pauses, rates).
- A reason is the same text as long as it is the same reason: pauses and rates are told as terms, not as instants.
- Looked at once a second while something is wanted; `tell(job, reasons)` only when they are others than before.
- Who waits for chunks from above has no reason here: whoever is above says it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tiercast_gateway.desired import OUTPUT, Desired, Reason
from tiercast_protocol.transfer import gates, views

if TYPE_CHECKING:
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.transfer.policy import Pace
    from tiercast_protocol.transfer.views import JobView, LaneView

EVERY_SECONDS = 1.0
#: Most children whose reasons are told of one job; of the rest nobody could read more.
MOST_CHILDREN = 500
#: A pause that is longer is told with its end.
_LONG_PAUSE = 60.0


def reason_of(
    lane: LaneView | None, view: JobView | None, said: Desired, *, child: str, job: str, above: Reason | None
) -> Reason | None:
    """Why nothing, or so little, of the job goes to the child; None when it goes, or waits for chunks from above.

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
    first = ", ".join(sorted(one.job for one in lane.jobs if one.priority > view.priority and one.state != "done"))
    told = {
        views.FROM_ABOVE: above,
        views.PARKED: Reason("lane.parked", f"{child} gave no sign of life for a while"),
        views.PRIORITY: Reason("priority", f"goes after {first or 'a job of higher priority'}"),
        gates.SPENT: Reason("budget.spent", "its budget is spent"),
    }
    return told[view.reason] if view.reason in told else _terms(child, view, said, job)


def _terms(child: str, view: JobView, said: Desired, job: str) -> Reason | None:
    """The strictest of the terms under which it goes on slowly."""
    paces = [policy.pace for policy in (said.jobs.get(job), said.links.get(child), said.links.get(OUTPUT)) if policy]
    split = _first(paces, lambda pace: pace.segment)
    interval = _first(paces, lambda pace: pace.frames)
    rates = [pace.rate for pace in paces if pace.rate]
    if split is not None and view.reason in {"", gates.SEGMENT_PAUSE, gates.RATE}:
        text = f"{split.pause:g} s of pause after each {split.segment:,} bytes"
        long = split.pause >= _LONG_PAUSE and view.until is not None
        return Reason("pause", f"{text}; segment {view.sent.segments + 1} follows" if long else text)
    if interval is not None and view.reason in {"", gates.INTERVAL_PAUSE, gates.RATE}:
        return Reason("pause", f"{interval.frame_pause * 1000:g} ms of pause after each {interval.frames:,} frames")
    if rates and view.reason in {"", gates.RATE, views.CREDIT}:
        return Reason("rate", f"{min(rates):,.0f} bytes per second at most")
    if view.reason in {gates.SEGMENT_PAUSE, gates.INTERVAL_PAUSE}:
        return Reason("pause", f"{child} asks for pauses")
    return Reason("rate", f"{child} asks for a limit") if view.reason == gates.RATE else None


def _first(paces: Iterable[Pace], of: Callable[[Pace], object]) -> Pace | None:
    return next((pace for pace in paces if of(pace)), None)


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
        self._stale = asyncio.Event()
        self._stale.set()

    def changed(self) -> None:
        """Orders or results came: others may be waiting now."""
        self._stale.set()

    def now(self, job: str) -> dict[str, Reason]:
        """Why, by child, for the children of which something is still expected."""
        return self._find(job, {lane.child: lane for lane in self._tree.streams.machine.lanes()})

    async def run(self) -> None:
        """Look once a second while a job is open, until cancelled."""
        while True:
            if not self._open:
                await self._stale.wait()
            if self._stale.is_set():
                self._stale.clear()
                self._open = await self._tree.orders.awaited()
            lanes = {lane.child: lane for lane in self._tree.streams.machine.lanes()} if self._open else {}
            texts = {job: encoded(self._find(job, lanes)) for job in self._open}
            for job, text in texts.items():
                if self._told.get(job, "") != text:
                    self._tell(job, text)
            self._told = {job: text for job, text in texts.items() if text}
            await asyncio.sleep(EVERY_SECONDS)

    def _find(self, job: str, lanes: Mapping[str, LaneView]) -> dict[str, Reason]:
        tree = self._tree
        above: Reason | None = None
        if (full := tree.depot.full) is not None:
            above = Reason("depot.full", str(full))
        elif not tree.above.connected:
            above = Reason("parent.lost", f"{tree.above.parent} can't be reached")
        found: dict[str, Reason] = {}
        for child in self._open.get(job, ())[:MOST_CHILDREN]:
            if not tree.children.online(child):
                found[child] = Reason("away", f"{child} is not connected to {tree.name}")
                continue
            lane = lanes.get(child)
            view = next((one for one in lane.jobs if one.job == job), None) if lane is not None else None
            why = reason_of(lane, view, tree.steering.now, child=child, job=job, above=above)
            if why is not None:
                found[child] = why
        return found


def encoded(reasons: Mapping[str, Reason]) -> str:
    """As a status record carries them: children by reason; "" for none."""
    by_reason: dict[Reason, list[str]] = {}
    for child, reason in sorted(reasons.items()):
        by_reason.setdefault(reason, []).append(child)
    return json.dumps([[*reason, children] for reason, children in by_reason.items()]) if by_reason else ""


def decoded(text: str) -> dict[str, tuple[str, str]]:
    """Code and text by child; nothing of what is not of that shape."""
    found: dict[str, tuple[str, str]] = {}
    try:
        rows: Any = json.loads(text) if text else []
        for code, why, children in rows:
            found |= {str(child): (str(code)[:64], str(why)[:1000]) for child in children}
    except (ValueError, TypeError, RecursionError):
        return {}
    return found
