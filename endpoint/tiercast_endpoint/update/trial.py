"""Which version of the agent is started: the installed one, or, where that proved no good, the one before.  Pure.

Rules (docs/agent.md, "Its own update")
- Standard library only, and no other file of the agent: the starter reads it, which must work when nothing else does.
- A version is on trial from its first start until it has reached a parent.  One that was started a few times without
  lasting, or has had its time, is refused: from then on the version before is started, which takes the link back.
- A parent that can't be reached by anybody is no fault of the version: its time goes on from then.
- A clock set back gives time, and never takes it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

#: Starts that did not last, and how long a start must last not to count, in milliseconds.
MOST_STARTS, LASTING_MS = 3, 60_000
#: How long a version may take to reach a parent, in milliseconds.
TRIAL_MS = 600_000


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered; trees are as the link names them, "" is what came with the machine's first installation.

    Attributes:
        good: reached a parent last.
        trial: is tried out now.
        since: its time counts from here, in milliseconds since 1970.
        starts: of it, that did not last so far.
        at: when it was started last.
        refused: was no good, and why.
    """

    good: str = ""
    trial: str = ""
    since: int = 0
    starts: int = 0
    at: int = 0
    refused: str = ""
    why: str = ""


def read(text: str) -> Record:
    """The record in `text`; a damaged one counts as none: then what is installed is tried out again."""
    try:
        said = json.loads(text)
        return Record(**{key: said[key] for key in Record.__dataclass_fields__ if type(said.get(key)) in {str, int}})
    except (ValueError, TypeError, AttributeError):
        return Record()


def write(record: Record) -> str:
    """Its text."""
    return json.dumps(asdict(record)) + "\n"


def start(record: Record, link: str, now: int, *, trial_ms: int = TRIAL_MS) -> tuple[Record, str]:
    """What to write down before the next start, and the tree that is started, where `link` is the installed one."""
    if link == record.good:
        return replace(record, trial="", starts=0, refused="", why=""), link
    if link == record.refused:
        return record, record.good
    if record.trial != link:
        record = replace(record, trial=link, since=now, starts=0, at=0, refused="", why="")
    if record.at and now - record.at >= LASTING_MS:
        record = replace(record, starts=0)
    if record.starts >= MOST_STARTS:
        return refuse(record, f"It ended {record.starts} times within a minute of its start."), record.good
    record = replace(record, since=min(record.since, now))
    if now - record.since >= trial_ms:
        return late(record, trial_ms), record.good
    return replace(record, starts=record.starts + 1, at=now), link


def late(record: Record, trial_ms: int = TRIAL_MS) -> Record:
    """The version on trial has had its time."""
    return refuse(record, f"It reached no parent within {trial_ms / 1000:,.0f} s.")


def refuse(record: Record, why: str) -> Record:
    """The version on trial is no good."""
    return replace(record, trial="", refused=record.trial, why=why)


def waited(record: Record, now: int) -> Record:
    """No parent can be reached by anybody: its time goes on from here."""
    return replace(record, since=now, starts=0)


def reached(record: Record, tree: str) -> Record:
    """`tree` has reached a parent."""
    return replace(record, good=tree, trial="", starts=0, refused="", why="")
