"""Which jobs a gateway's list shows, by the words that the server's list takes as far as they can hold here.

Rules
- A job is one row, whatever its revisions: what its newest order is that was no cancel, its targets below here, how
  many of them are in which state, and the state that follows from that as at the server.
- Every filter narrows; several states or types widen it.  Folders and notes are the server's: asked for here, they are
  an error, for an empty list must mean that there is nothing.
- Functions of a connection, to be run as units of `Database`; the newest jobs come first, by the number in their id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.order import CANCEL, SOME, Order
from tiercast_protocol.content.jobs.receipt import STATES
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import StatusRecord

if TYPE_CHECKING:
    from tiercast_protocol.node.control.verbs import Call

_WORDS = frozenset({"limit", "states", "types", "package", "target", "since", "search"})
_NUMBER = re.compile(r"j(\d{1,18})")
#: Done, but nothing was installed: a condition was not true.
SKIPPED = "skipped"
_BAD = frozenset({"failed", "interrupted", "rejected"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted; `since` in milliseconds since 1970, `package` NAME or NAME=VERSION, `target` a node's name."""

    states: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    package: str = ""
    target: str = ""
    since: int = 0
    search: str = ""


def wanted_of(call: Call, here: str) -> Wanted:
    """The filter in the arguments of a call at the gateway `here`.

    Raises:
        UsageError: filter.unknown, state.unknown or type.unknown.
    """
    if said := sorted(call.args.keys() - _WORDS):
        raise UsageError(
            code="filter.unknown",
            what=f"A gateway knows the orders that passed it; it can't choose by {', '.join(said)}.",
            where=here,
            todo="Ask the server, or take that filter away.",
        )
    states, types = frozenset(call.texts("states", [])), frozenset(call.texts("types", []))
    for what, asked, there in (("state", states, jobtypes.STATES), ("type", types, jobtypes.TYPES)):
        if wrong := sorted(asked - set(there)):
            raise UsageError(
                code=f"{what}.unknown",
                what=f"There is no {what} {wrong[0][:40]!r} of jobs.",
                todo=f"Choose from: {', '.join(there)}.",
            )
    return Wanted(
        states=states,
        types=types,
        package=call.text("package", ""),
        target=call.text("target", ""),
        since=max(0, call.number("since", 0)),
        search=call.text("search", ""),
    )


def find(c: Connection, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """The newest wanted jobs, newest first."""
    by_job: dict[str, list[tuple[int, str, str, str, int, int]]] = {}
    query = "SELECT job, revision, type, package, version, expires, open FROM orders ORDER BY job, revision"
    for job, *row in c.execute(query):
        by_job.setdefault(job, []).append(tuple(row))
    found: list[dict[str, Any]] = []
    for job in sorted(by_job, key=_newest, reverse=True):
        if len(found) >= limit:
            break
        rows = by_job[job]
        own = [row for row in rows if row[1] != CANCEL] or rows
        _, type_, package, version, expires, _ = own[-1]
        if _cheap(wanted, job, type_, package, version) and _is_target(c, wanted.target, job):
            counts = _counts(c, job)
            created = _issued(c, job, own[0][0])
            cancelling = any(_ends_all(c, job, row[0]) for row in rows if row[1] == CANCEL and row[5])
            state = "open" if any(row[5] for row in rows) else closing(counts)
            shown = jobtypes.CANCELLING if state == "open" and cancelling else state
            if created >= wanted.since and (not wanted.states or shown in wanted.states):
                found.append(
                    {
                        "job": job,
                        "revision": max(row[0] for row in rows),
                        "type": type_,
                        "package": package,
                        "version": version,
                        "created": created,
                        "expires": expires,
                        "open": state == "open",
                        "state": state,
                        "cancelling": cancelling,
                        "targets": sum(counts.values()),
                        "counts": counts,
                    }
                )
    return found


def closing(counts: dict[str, int]) -> str:
    """What a job with these targets below came to here; one that was closed by its time is expired."""
    states = {state for state, count in counts.items() if count}
    if states & _BAD:
        return "failed"
    if "expired" in states or any(not STATES.get(state, False) for state in states - {SKIPPED}):
        return "expired"
    return "cancelled" if "cancelled" in states else "done"


def _newest(job: str) -> tuple[int, str]:
    number = _NUMBER.match(job)
    return int(number[1]) if number else 0, job


def _cheap(wanted: Wanted, job: str, type_: str, package: str, version: str) -> bool:
    name, equals, one = wanted.package.partition("=")
    search = wanted.search.casefold()
    return (
        (not wanted.types or type_ in wanted.types)
        and (not name or (package == name and (not equals or version == one)))
        and any(search in word.casefold() for word in (job, package, version))
    )


def _is_target(c: Connection, node: str, job: str) -> bool:
    query = "SELECT 1 FROM order_targets WHERE job = ? AND node = ? UNION SELECT 1 FROM statuses"
    return not node or c.execute(f"{query} WHERE job = ? AND target = ?", (job, node) * 2).fetchone() is not None


def _counts(c: Connection, job: str) -> dict[str, int]:
    states = {row[0]: "ordered" for row in c.execute("SELECT node FROM order_targets WHERE job = ?", (job,))}
    for target, record in c.execute("SELECT target, record FROM statuses WHERE job = ?", (job,)):
        said = codec.decode(record, StatusRecord)
        if said.state in STATES:  # what gateways below say of themselves is no target's
            states[target] = SKIPPED if said.code == "condition.skipped" and said.state == "done" else said.state
    return _counted(states.values())


def _counted(states: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for state in states:
        counts[state] = counts.get(state, 0) + 1
    return counts


def _order(c: Connection, job: str, revision: int) -> Order:
    query = "SELECT signed FROM orders WHERE job = ? AND revision = ?"
    return codec.decode(c.execute(query, (job, revision)).fetchone()[0], Order)


def _issued(c: Connection, job: str, revision: int) -> int:
    return _order(c, job, revision).issued


def _ends_all(c: Connection, job: str, revision: int) -> bool:
    return _order(c, job, revision).options.get(SOME) is not True
