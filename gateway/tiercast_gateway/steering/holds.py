"""Suspensions: what they cover here, and what is said of them below.  Pure (docs/protocol-steering.md, section 4).

Rules
- A hold is of one job or of all, and about one node: the link to it and every link below it.  `link` is the one link
  alone.  "" as the node is all that is below whoever reads it.
- It ends by itself at `until`, by each node's own clock; what was received stays.
- A child that is a gateway is told the whole list of what covers it or something below it, whenever that list
  changes; the newest list replaces the one before.  So a list that is told twice or late does no harm.
- What was said here and what was said above stand side by side: whoever suspended, resumes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tiercast_protocol.wire.messages import HoldEntry

#: Most holds of one list; more would not fit a message.
MOST_HOLDS = 4096


@dataclass(frozen=True, slots=True)
class Hold:
    """One suspension.

    Attributes:
        job: "" is every job.
        node: the node that it is about; "" is all that is below here.
        until: milliseconds since 1970; 0 is until it is resumed.
        by: who said so, and where.
        link: only the link to `node`, nothing below.
        of: the node as it was named where it was said; "" for who was told by an older node.
    """

    job: str = ""
    node: str = ""
    until: int = 0
    by: str = ""
    link: bool = False
    of: str = ""

    @property
    def name(self) -> str:
        """Of its row; of two of one name the newer one stands."""
        return f"{self.job}|{self.node}|{'link' if self.link else ''}"

    def body(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)

    def covers(self, child: str) -> bool:
        """Whether the link to this child is covered."""
        return self.node in {"", child}


def of_body(body: Mapping[str, Any]) -> Hold:
    """What was kept."""
    return Hold(body["job"], body["node"], body["until"], body["by"], body["link"], body.get("of", ""))


def of_entries(entries: Iterable[HoldEntry]) -> list[Hold]:
    """What a parent said, as far as it can be meant."""
    return [Hold(e.job[:255], e.node[:255], max(0, e.until), e.by[:255], of=e.of[:255]) for e in entries][:MOST_HOLDS]


def standing(holds: Iterable[Hold], me: str, now_ms: int) -> list[Hold]:
    """Those that have not ended; one about this node itself is about all below it."""
    return [
        replace(hold, node="") if hold.node == me and not hold.link else hold
        for hold in holds
        if not hold.until or hold.until > now_ms
    ]


def below(holds: Sequence[Hold], child: str, via: Callable[[str], str | None]) -> list[HoldEntry]:
    """What the gateway `child` is told; `via` gives the child behind which a node is."""
    found: dict[tuple[str, str], HoldEntry] = {}
    for hold in holds:
        if hold.link:
            continue
        if hold.covers(child):
            node = ""
        elif via(hold.node) == child:
            node = hold.node
        else:
            continue
        key = (hold.job, node)
        known = found.get(key)
        # of two that say the same, the one that lasts
        if known is None or (known.until and (not hold.until or hold.until > known.until)):
            found[key] = HoldEntry(job=hold.job, node=node, until=hold.until, by=hold.by, of=hold.of)
    return [found[key] for key in sorted(found)][:MOST_HOLDS]
