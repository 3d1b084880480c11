"""Why a target has not ended: its own word and those of the tiers above it, put in order.  Pure (docs/jobs.md, "Why").

Rules
- The chain of a target is never empty while its state is not final: its state alone is a reason.
- What cuts a target off goes before all that is said below the cut, for nothing newer comes from there; then what the
  target says of itself; then the reason nearest to it.  What merely takes its time comes last.
- An ended target waits for nothing: it has a result.
- Of a whole job the first links of all chains are counted by code, so that ten thousand targets are a few lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tiercast_protocol.content.jobs.reason import Reason, because, kind_of, read, shown
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.content.jobs.results import RESULTS

#: What a state alone says, where nobody says more.
CODE_OF: dict[str, str] = {
    "ordered": "order.way",
    "waiting": "turn",
    "fetching": "fetch",
    "staged": "assemble",
    "installing": "install",
    "removing": "remove",
    "running": "run",
}
_STATES = {state: because(code) for state, code in CODE_OF.items()}
_UNHEARD = because("order.way")
#: States in which the transfer matters, so that what is said of the links on the way does.
_TRANSFER = frozenset({"ordered", "waiting", "fetching"})
_LONGEST_WAY = 64
#: A job that is cancelled waits for nothing else any more; what targets say although it is.
CANCEL = "cancel.way"
SINCE_CANCEL = frozenset({"cancel.waits", "node.not-joined"})
#: Names that a group gives as examples, and places.
EXAMPLES = 5

#: By gateway (or server): its reason by child.
Said = Mapping[str, Mapping[str, Reason]]


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of one target; `since` is when its state began, in milliseconds since 1970."""

    node: str
    state: str
    code: str = ""
    detail: str = ""
    since: int = 0

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return STATES.get(self.state, False)


def own_word(target: Target) -> Reason:
    """What it says of itself, or what its state says."""
    if target.code:
        return read(target.code, target.detail, node=target.node, peer=target.node, since=target.since)
    code = CODE_OF.get(target.state, "order.way")
    return because(code, node=target.node, peer=target.node, since=target.since)


def chain(target: Target, parents: Mapping[str, str], said: Said, first: Reason | None = None) -> list[Reason]:
    """All that it waits for, the reason that counts first; [] when it has ended.

    Args:
        target: the target.
        parents: the parent of every node on its way; the topmost has none.
        said: what the tiers say of their children.
        first: what is known of the whole job: it stands in for the target's own silence, and a cancel for its word
            from before.
    """
    if target.final:
        return []
    own = own_word(target)
    if first is not None and (not target.code or (first.code == CANCEL and target.code not in SINCE_CANCEL)):
        own = first.at(peer=target.node)
    found = _on_the_way(target.node, parents, said)
    cuts = [reason for reason in reversed(found) if _cuts(reason)]
    way = [reason for reason in found if not _cuts(reason)] if target.state in _TRANSFER else []
    stops = [reason for reason in way if not _moves(reason)]
    moves = [reason for reason in way if _moves(reason)]
    if _moves(own):
        return [*cuts, *stops, *moves, own]
    return [*cuts, own, *stops, *moves]


class Way(NamedTuple):
    """What counts of all that is said above one node: what cuts it off, what stops it, what slows it."""

    cut: Reason | None
    stop: Reason | None
    move: Reason | None


def way_of(node: str, parents: Mapping[str, str], said: Said) -> Way:
    """Of `node` and all above it: the same for every target below it."""
    found = _on_the_way(node, parents, said)
    others = [reason for reason in found if not _cuts(reason)]
    return Way(
        cut=next((reason for reason in reversed(found) if _cuts(reason)), None),
        stop=next((reason for reason in others if not _moves(reason)), None),
        move=next((reason for reason in others if _moves(reason)), None),
    )


def first_of(target: Target, direct: Reason | None, way: Way) -> Reason:
    """The first link of the chain of a target that says nothing itself: for the many targets of a job.

    Without a place where it is the target's state alone.

    Args:
        target: it has not ended, and has no code.
        direct: what its parent says of it.
        way: what is said above that parent.
    """
    if way.cut is not None:
        return way.cut
    if direct is not None and _cuts(direct):
        return direct
    if target.state in _TRANSFER:
        stops = direct is not None and not _moves(direct)
        found = (direct if stops else None) or way.stop or direct or way.move
        if found is not None:
            return found
    return _STATES.get(target.state, _UNHEARD)


def _on_the_way(node: str, parents: Mapping[str, str], said: Said) -> list[Reason]:
    """What each tier says of the next one, the nearest first."""
    found: list[Reason] = []
    child = node
    for _ in range(_LONGEST_WAY):
        parent = parents.get(child)
        if parent is None:
            break
        reason = said.get(parent, {}).get(child)
        if reason is not None and reason not in found:
            found.append(reason)
        child = parent
    return found


def above(node: str, parents: Mapping[str, str]) -> list[str]:
    """The nodes above it, the nearest first."""
    found: list[str] = []
    at = parents.get(node)
    while at is not None and len(found) < _LONGEST_WAY:
        found.append(at)
        at = parents.get(at)
    return found


def _cuts(reason: Reason) -> bool:
    kind = kind_of(reason)
    return kind is not None and kind.cuts


def _moves(reason: Reason) -> bool:
    kind = kind_of(reason)
    return kind is not None and kind.moves


def result(target: Target) -> dict[str, Any]:
    """How it ended: state, code, what the code means, what a person can do; {} while it has not."""
    if not target.final:
        return {}
    known = RESULTS.get(target.code)
    return {
        "state": target.state,
        "code": target.code,
        "detail": target.detail,
        "means": known.means if known is not None else "",
        "todo": known.todo if known is not None else "",
    }


# -- a whole job -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Group:
    """Targets whose chains begin with the same code."""

    reason: Reason
    count: int = 0
    since: int = 0
    until: int = 0
    places: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    #: Places that are not named: what targets say of themselves is at as many places as there are targets.
    others: int = 0

    def add(self, node: str, reason: Reason, since: int, many: int) -> None:
        """So many targets more, of which this is one."""
        self.count += many
        if since and (not self.since or since < self.since):
            self.since = since
        self.until = max(self.until, reason.until)
        if reason.node:
            here = 1 if reason.node == node else many
            self.places[reason.node] = self.places.get(reason.node, 0) + here
            self.others += many - here
        if len(self.examples) < EXAMPLES:
            self.examples.append(node)

    def body(self) -> dict[str, Any]:
        """As it is shown; words are those of its first target."""
        places = sorted(self.places, key=lambda place: (-self.places[place], place))
        return {
            **shown(self.reason.at(node=self.examples[0], peer=self.examples[0])),
            "count": self.count,
            "since": self.since,
            "until": self.until,
            "places": places[:EXAMPLES],
            "place_count": len(places) + self.others,
            "examples": self.examples,
        }


def grouped(chains: Iterable[tuple[str, Reason, int]]) -> list[dict[str, Any]]:
    """The first links of chains, with node and since when, counted by code: the largest group first."""
    return counted((*chain, 1) for chain in chains)


def counted(chains: Iterable[tuple[str, Reason, int, int]]) -> list[dict[str, Any]]:
    """As `grouped`, of chains of which each stands for so many targets."""
    groups: dict[str, Group] = {}
    for node, reason, since, many in chains:
        group = groups.get(reason.code)
        if group is None:
            group = groups[reason.code] = Group(reason)
        group.add(node, reason, since, many)
    return [group.body() for group in sorted(groups.values(), key=lambda group: (-group.count, group.reason.code))]


def ended(counts: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """How many ended how, by (state, code): the largest number first; what is still open is left out."""
    found = [
        {**result(Target("", state, code)), "count": count}
        for (state, code), count in counts.items()
        if STATES.get(state, False)
    ]
    return sorted(found, key=lambda row: (-int(row["count"]), str(row["state"]), str(row["code"])))
