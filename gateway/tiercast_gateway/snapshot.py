"""What a sub-tree shows of itself: plain maps for the control socket and for questions over the tree.

Rules
- Only what msgpack can carry; times are milliseconds since 1970, sizes bytes, rates bytes per second.
- Reads memory and the store's counters; never waits for a child.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from tiercast_gateway.depot import holdings
from tiercast_gateway.steering.desired import OUTPUT
from tiercast_protocol import __version__
from tiercast_protocol.content.jobs.reason import words
from tiercast_protocol.node.metrics import METRICS
from tiercast_protocol.wire.messages import CATALOGUE

if TYPE_CHECKING:
    from tiercast_gateway.steering.desired import Desired
    from tiercast_gateway.subtree import SubTree
    from tiercast_protocol.transfer.policy import Pace
    from tiercast_protocol.transfer.views import LaneBytes, LaneView

#: Of the outbox's and inbox's counts since this process began: envelopes, repeated ones too, and acknowledgements.
MESSAGES = ("sent", "received", "acks_sent", "acks_received")


def snapshot(tree: SubTree, *, with_children: bool = True) -> dict[str, Any]:
    """The answer to `status`; with hundreds of children they are most of it, and most of the work."""
    return {
        "name": tree.name,
        "region": tree.region,
        "role": tree.role,
        "version": __version__,
        "started": tree.started,
        "parent": tree.above.parent,
        "connected": tree.above.connected,
        "broker": {"kind": tree.broker.kind, "url": tree.broker.children_url, "pid": tree.broker.pid},
        "depot": usage(tree) | {"audit": tree.upkeep.auditor.brief()},
        "children": children(tree) if with_children else [],
        "patches": tree.patches.shown(),
        "messages": {word: tree.post.counts[word] for word in MESSAGES},
        "received": {kind: tree.post.counts[kind] for kind in sorted(CATALOGUE) if tree.post.counts[kind]},
        "counters": METRICS.snapshot(),
        "pid": os.getpid(),
    }


def usage(tree: SubTree) -> dict[str, Any]:
    """How full the depot is."""
    used = tree.depot.usage()
    high, low = tree.depot.room.limits()
    refused = tree.depot.room.refused
    return {
        "chunks": used.chunks,
        "bytes": used.bytes,
        "own_bytes": tree.depot.store.own_bytes,
        "quota": used.quota,
        "free": used.disk_free,
        "high": high,
        "low": low,
        "refused": refused.kept if refused is not None else {},
    }


def children(tree: SubTree) -> list[dict[str, Any]]:
    """Every direct child, with its presence and its lane."""
    lanes = {lane.child: lane for lane in tree.streams.machine.lanes()}
    found = []
    for user in tree.enrolment.children():
        child, lane = tree.children.get(user.name), lanes.get(user.name)
        found.append(
            {
                "name": user.name,
                "role": user.role,
                "online": child.online,
                "since": child.since,
                "quota": child.quota,
                "software": child.software,
                "free": child.free,
                "lane": lane.state if lane else "",
                "in_flight": lane.in_flight if lane else 0,
                "wanted": lane.wanted if lane else 0,
                "sent_bytes": lane.charged if lane else 0,
            }
        )
    return found


def links(tree: SubTree) -> list[dict[str, Any]]:
    """The answer to `link.list`.

    `rate` is what a link may carry, `together` all of them (0: unlimited); `going` is what it carried in the last
    seconds, `measured` how fast frames go while they go; `slowed` the rate that an adaptive link yields to.
    """
    lanes = {lane.child: lane for lane in tree.streams.machine.lanes()}
    going = sending(tree)
    return [
        {
            "parent": tree.name,
            "child": child["name"],
            "online": child["online"],
            "lane": child["lane"],
            "rate": tree.steering.limit(child["name"]),
            "together": tree.steering.limit(OUTPUT),
            "measured": int((lane.rate if (lane := lanes.get(child["name"])) else None) or 0),
            "going": going.get(child["name"], 0),
            "rtt_ms": _thousand(lane.rtt) if lane else None,
            "slowed": int(lane.slowed) if lane and lane.slowed is not None else None,
            "queueing_ms": _thousand(lane.queueing) if lane and lane.slowed is not None else None,
            "asked": _asked(lane.wish) if lane else {},
            "in_flight": child["in_flight"],
            "sent_bytes": child["sent_bytes"],
            "again_bytes": _again(lane.sent) if lane else 0,
            "why_again": _reasons(lane.sent) if lane else {},
            "jobs": _jobs(lane, tree.steering.now) if lane else [],
            "terms": tree.steering.link(child["name"])["terms"],
        }
        for child in children(tree)
    ]


def _jobs(lane: LaneView, said: Desired) -> list[dict[str, Any]]:
    """What goes to the child, job by job, and why it does not: what was said goes before what the machine sees."""
    return [
        {
            "job": view.job,
            "priority": view.priority,
            "queued": view.queued,
            "state": view.state,
            "reason": words(why) if view.queued and (why := said.why(lane.child, view.job)) else view.reason,
            "sent_bytes": view.sent.first + view.sent.lost + view.sent.repair + view.sent.failed,
            "segments": view.sent.segments,
            "segment_bytes": view.sent.segment_bytes,
            "segment": view.segment,
        }
        for view in lane.jobs
    ]


def sending(tree: SubTree) -> dict[str, int]:
    """Bytes per second that went to each child in the last seconds."""
    streams = tree.streams
    streams.going.look({lane.child: lane.charged for lane in streams.machine.lanes()}, time.monotonic())
    return streams.going.rates()


def _thousand(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)


def _asked(wish: Pace) -> dict[str, Any]:
    """What the child asks for, as terms of a link are shown."""
    found = {"segment": wish.segment, "pause": wish.pause or None, "rate": wish.rate}
    return {key: value for key, value in found.items() if value}


def _reasons(sent: LaneBytes) -> dict[str, int]:
    """Bytes sent more than once, by reason."""
    return {"lost": sent.lost, "repair": sent.repair, "failed": sent.failed}


def _again(sent: LaneBytes) -> int:
    return sum(_reasons(sent).values())


async def depot(tree: SubTree) -> dict[str, Any]:
    """The answer to `depot.show`: how full it is, and the packages that it knows, with raw bytes held of all."""
    packages = []
    for package in sorted(tree.depot.packages.all(), key=lambda p: (p.name, -p.asked)):
        held, total = await holdings.measure(package.root, tree.depot)
        packages.append(
            {
                "name": package.name,
                "version": package.version,
                "revision": package.revision,
                "root": package.root.hex(),
                "pinned": package.pinned,
                "keep_until": package.keep_until,
                "asked": package.asked,
                "held": held,
                "total": total,
            }
        )
    return usage(tree) | {"packages": packages, "audit": await tree.upkeep.figures()}
