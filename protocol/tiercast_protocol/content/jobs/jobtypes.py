"""Job types, their one life cycle, and the one table of what may be done with a job (docs/jobs.md).

Rules
- A job is a draft, then open (perhaps being cancelled), then ended; nothing leads back, but that a
  job on a group is open again for who joins it later.  Another run is another job.
- A type says what its order needs, which role carries it out, and whether content travels for it; every tier reads it
  here and nowhere else.
- A verb is allowed by type and state alone.  What is not in the table is refused, with a code and with what to do.
- Pure: names and rules, no rows and no clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tiercast_protocol.errors import UsageError

JobState = Literal["draft", "open", "cancelling", "done", "failed", "cancelled", "expired"]

DRAFT, OPEN, CANCELLING = "draft", "open", "cancelling"
ENDED = frozenset({"done", "failed", "cancelled", "expired"})
RUNNING = frozenset({OPEN, CANCELLING})
#: The type that is installed only if the machine's owner accepts it.
OFFER = "offer"
#: What compares, and what mends, the files of what is installed.
VERIFY, REPAIR = "verify", "repair"
#: Every state of a job, in the order of its life.
STATES: tuple[JobState, ...] = ("draft", "open", "cancelling", "done", "failed", "cancelled", "expired")


@dataclass(frozen=True, slots=True)
class JobType:
    """One type of job.

    Attributes:
        name: as it stands in orders and on the command line.
        role: of the nodes that carry it out.
        does: what it does there, in a few words.
        package: whether it is about a package, which must then be named.
        content: whether the package's content travels for it.
        opposite: the type that undoes it; both open for one package and target is a contradiction.
        steps: what a target is shown as while it works on it, before it ends.
    """

    name: str
    role: Literal["endpoint", "gateway"]
    does: str
    package: bool = False
    content: bool = False
    opposite: str = ""
    steps: tuple[str, ...] = ()


TYPES: dict[str, JobType] = {
    one.name: one
    for one in (
        JobType(
            "install", "endpoint", "installs a package", package=True, content=True, opposite="remove",
            steps=("fetching", "staged", "installing"),
        ),
        JobType(
            OFFER, "endpoint", "installs a package if its owner accepts it", package=True, content=True,
            steps=("fetching", "staged", "installing"),
        ),
        JobType("remove", "endpoint", "removes a package", package=True, opposite="install", steps=("removing",)),
        JobType(
            "preload", "gateway", "brings a package into the depot", package=True, content=True, opposite="purge",
            steps=("fetching",),
        ),
        JobType("purge", "gateway", "deletes a package from the depot", package=True, opposite="preload"),
        JobType(VERIFY, "endpoint", "compares what is installed, file by file", package=True, steps=("running",)),
        JobType(
            REPAIR, "endpoint", "mends what is installed and differs", package=True, content=True,
            steps=("fetching", "staged", "installing"),
        ),
        JobType("run", "endpoint", "runs a program", steps=("running",)),
        JobType("message", "endpoint", "keeps a text for the machine's owner", steps=("running",)),
        JobType("inventory", "endpoint", "has the machine say afresh what it is", steps=("running",)),
        JobType("restart", "endpoint", "restarts the agent", steps=("running",)),
        JobType("shutdown", "endpoint", "shuts the machine down", steps=("running",)),
        JobType("reboot", "endpoint", "restarts the machine", steps=("running",)),
    )
}  # fmt: skip


#: Names whose place is kept: jobs of these types can't be ordered yet, and nothing else may be called so.
RESERVED: dict[str, str] = {"collect": "fetches files from endpoints: the transfer upward comes later"}


@dataclass(frozen=True, slots=True)
class Verb:
    """What may be done with a job: in these states, and of these only where content travels."""

    states: frozenset[str]
    content: bool = False
    does: str = ""


_ALL = frozenset(STATES)
VERBS: dict[str, Verb] = {
    "show": Verb(_ALL, does="what it is and what came of it"),
    "copy": Verb(_ALL, does="a draft like it"),
    "move": Verb(_ALL, does="into another folder"),
    "template": Verb(_ALL, does="a template made of it"),
    "edit": Verb(frozenset({DRAFT}), does="other words in a draft"),
    "start": Verb(frozenset({DRAFT}), does="order it"),
    "watch": Verb(_ALL - {DRAFT}, does="follow it to its end"),
    "receipt": Verb(_ALL - {DRAFT}, does="what a target signed"),
    "rerun": Verb(_ALL - {DRAFT}, does="order it again where it failed or reached nobody"),
    "cancel": Verb(RUNNING, does="end it wherever it has not ended"),
    "commit": Verb(frozenset({OPEN}), content=True, does="of one in two phases: what is prepared is switched"),
    "accept": Verb(frozenset({OPEN}), content=True, does="of one in two phases: the old version goes"),
    "undo": Verb(RUNNING, content=True, does="of one in two phases: the old version is back"),
    "set": Verb(RUNNING, content=True, does="other terms for its transfer"),
    "suspend": Verb(RUNNING, content=True, does="nothing more of it over a link"),
    "resume": Verb(_ALL - {DRAFT}, content=True, does="it goes on over the link"),
    "delete": Verb(ENDED | {DRAFT}, does="forget it"),
}


def of(name: str) -> JobType:
    """The type `name`.

    Raises:
        UsageError: type.unknown or type.reserved.
    """
    if name in RESERVED:
        raise UsageError(
            code="type.reserved",
            what=f"Jobs of the type {name!r} can't be ordered yet ({RESERVED[name]}).",
            todo=f"Its name is kept for it. Types that there are: {', '.join(TYPES)}. Nothing was done.",
        )
    found = TYPES.get(name)
    if found is None:
        raise UsageError(
            code="type.unknown", what=f"There is no job type {name[:40]!r}.", todo=f"Types: {', '.join(TYPES)}."
        )
    return found


def carried_out_by(role: str) -> frozenset[str]:
    """The names of the types that nodes of `role` carry out."""
    return frozenset(one.name for one in TYPES.values() if one.role == role)


def with_content() -> frozenset[str]:
    """The names of the types whose content travels."""
    return frozenset(one.name for one in TYPES.values() if one.content)


def allowed(verb: str, type_: str, state: str) -> bool:
    """Whether `verb` may be said of a job of this type in this state."""
    row = VERBS[verb]
    return state in row.states and (TYPES[type_].content or not row.content)


def check(verb: str, *, type_: str, state: str, job: str) -> None:
    """Refuse what is not allowed.

    Raises:
        UsageError: job.type, job.draft, job.open or job.closed.
    """
    if allowed(verb, type_, state):
        return
    row = VERBS[verb]
    if row.content and not TYPES[type_].content:
        can = ", ".join(sorted(with_content()))
        raise UsageError(
            code="job.type",
            what=f"The job {job} is to {type_}: no content of it travels, so there is nothing to {verb}.",
            todo=f"`job {verb}` is for jobs of these types: {can}. Nothing was done.",
        )
    if state == DRAFT:
        raise UsageError(
            code="job.draft",
            what=f"The job {job} is a draft: nothing of it was ordered.",
            todo=f"`tiercast job start {job}` orders it. Nothing was done.",
        )
    if state in RUNNING:
        first = "it was started already" if verb == "start" else f"`tiercast job cancel {job}` first"
        raise UsageError(code="job.open", what=f"The job {job} is {state}.", todo=f"{first[0].upper()}{first[1:]}.")
    raise UsageError(
        code="job.closed",
        what=f"The job {job} is {state} already.",
        todo=f"`tiercast job show {job}` shows what came of it.",
    )
