"""What the owner of a machine chose of a job, as its records carry it up the tree.  Pure.

Rules (docs/on-the-endpoint.md, "The owner's word")
- It goes with every record of the job, so that of a machine that put it off twice one learns it whatever it waits for
  now; the record with the highest number counts, as for all else that it says: counts are computed, never added up.
- The machine's own word: what can't be read is nothing chosen, and keeps no record from being taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tiercast_protocol.errors import MessageInvalid

#: How an owner can answer, and what is counted by.
ANSWERS = ("accepted", "declined", "rejected")
SITE, GROUP, JOB = "site", "group", "job"
_MOST = 1 << 53
LONGEST_NAME = 64


class Chosen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times are milliseconds since 1970.

    Attributes:
        held: since when it is held; 0 while it is not.
        until: deferred until then.
        times: how often it was.
        answer: "", "rejected", "accepted" or "declined".
        by, at: who chose last, and when.
        prefers: waits for times that the owner prefers.
    """

    held: int = 0
    until: int = 0
    times: int = 0
    answer: str = ""
    by: str = ""
    at: int = 0
    prefers: bool = False

    def shown(self) -> dict[str, str | int | bool]:
        """As people's programs get it."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


_DECODER = msgspec.json.Decoder(Chosen)


def packed(chosen: Chosen) -> str:
    """As a record carries it."""
    return msgspec.json.encode(chosen).decode()


def read(text: str) -> Chosen | None:
    """What `text` says; None for nothing, and for what can't be read."""
    if not text:
        return None
    try:
        found = _DECODER.decode(text)
    except (msgspec.DecodeError, MessageInvalid):
        return None
    numbers = (found.held, found.until, found.times, found.at)
    sound = all(0 <= number < _MOST for number in numbers) and found.answer in {"", *ANSWERS}
    # It is shown at terminals: a name is what can be shown there.
    return found if sound and len(found.by) <= LONGEST_NAME and found.by.isprintable() else None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One target whose owner chose something: where it is, how its job stands there, and what he chose."""

    job: str
    package: str
    version: str
    node: str
    site: str
    state: str
    ended: bool
    chosen: Chosen
    groups: tuple[str, ...] = ()

    def row(self) -> dict[str, object]:
        """As people's programs get it."""
        names = ("job", "package", "version", "node", "site", "state")
        return {**{name: getattr(self, name) for name in names}, **self.chosen.shown()}


def counted(rows: Iterable[Said], now: int) -> dict[str, int]:
    """How many put it off now, until when at the latest, how often in all, and how many answered what."""
    names = ("targets", "deferred", "held", "preferred", *ANSWERS, "times", "latest")
    found: dict[str, int] = {name: 0 for name in names}  # noqa: C420 - its keys are texts, not these alone
    for one in rows:
        chosen, waits = one.chosen, not one.ended
        found["targets"] += 1
        found["deferred"] += waits and chosen.until > now
        found["held"] += waits and bool(chosen.held)
        found["preferred"] += waits and chosen.prefers
        found["times"] += chosen.times
        if chosen.answer in ANSWERS:
            found[chosen.answer] += 1
        if waits and chosen.until > now:
            found["latest"] = max(found["latest"], chosen.until)
    return found


def summary(rows: Sequence[Said], *, by: str, now: int, most: int) -> dict[str, object]:
    """All that a tier says of its owners: counts of all, counts by site, group or job, and the rows, newest first."""
    sets: dict[str, list[Said]] = {}
    for one in rows:
        names = one.groups if by == GROUP else (one.job if by == JOB else one.site,)
        for name in names if by else ():
            sets.setdefault(name, []).append(one)
    newest = sorted(rows, key=lambda one: (-one.chosen.at, one.job, one.node))
    return {
        "counts": counted(rows, now),
        "by": [{"name": name, **counted(some, now)} for name, some in sorted(sets.items())],
        "rows": [one.row() for one in newest[:most]],
        "left_out": max(0, len(rows) - most),
    }
