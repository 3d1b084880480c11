"""Which jobs a list shows.

Rules
- Every filter narrows; several words of one filter (states, types) widen it.  None at all is every job and draft.
- A folder means what is in it and below it; a text is looked for in id, package, version, note, who, folder and what
  the job is about, whatever the case.
- A word that no job can have is an error that names those there are: an empty list must mean that there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_server.database.tables import job_requests, jobs, targets
from tiercast_server.jobs.requests import Draft, check_folder

_MAX_SEARCH = 200
#: No job was made after it.
_LAST = 1 << 53


@dataclass(frozen=True, slots=True)
class Filter:
    """What is wanted; `since` in milliseconds since 1970, `package` NAME or NAME=VERSION, `target` a node's name."""

    states: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    package: str = ""
    target: str = ""
    since: int = 0
    folder: str = ""
    search: str = ""

    @property
    def drafts(self) -> bool:
        """Whether drafts may be among what is wanted."""
        return not self.states or jobtypes.DRAFT in self.states


def filter_of(call: Call) -> Filter:
    """The filter in the arguments of a call.

    Raises:
        UsageError: state.unknown, type.unknown, folder.invalid or search.invalid.
    """
    states, types = frozenset(call.texts("states", [])), frozenset(call.texts("types", []))
    _known("state", states, jobtypes.STATES)
    _known("type", types, jobtypes.TYPES)
    search = call.text("search", "")
    if len(search) > _MAX_SEARCH:
        raise UsageError(
            "search.invalid", f"The text is longer than {_MAX_SEARCH} characters.", "--search", "Shorten it."
        )
    return Filter(
        states=states,
        types=types,
        package=call.text("package", ""),
        target=call.text("target", ""),
        since=max(0, min(call.number("since", 0), _LAST)),
        folder=check_folder(call.text("folder", "")),
        search=search,
    )


def where(wanted: Filter) -> ColumnElement[bool]:
    """The condition on rows of jobs (outer-joined to `job_requests`)."""
    parts: list[ColumnElement[bool]] = [jobs.c.created >= wanted.since]
    if wanted.states:
        open_too = [state for state in wanted.states if state not in jobtypes.RUNNING]
        states: list[ColumnElement[bool]] = [jobs.c.state.in_(open_too)]
        if wanted.states & jobtypes.RUNNING:
            cancelling = [state == jobtypes.CANCELLING for state in wanted.states & jobtypes.RUNNING]
            states.append(and_(jobs.c.state == jobtypes.OPEN, jobs.c.cancelling.in_(cancelling)))
        parts.append(or_(*states))
    if wanted.types:
        parts.append(jobs.c.type.in_(sorted(wanted.types)))
    if wanted.package:
        name, equals, version = wanted.package.partition("=")
        parts.append(jobs.c.package == name)
        if equals:
            parts.append(jobs.c.version == version)
    if wanted.target:
        parts.append(exists(select(targets.c.job).where(targets.c.node == wanted.target, targets.c.job == jobs.c.id)))
    if wanted.folder:
        folder = job_requests.c.folder
        parts.append(or_(folder == wanted.folder, folder.startswith(wanted.folder + "/", autoescape=True)))
    if wanted.search:
        columns = (jobs.c.id, jobs.c.package, jobs.c.version, jobs.c.note, jobs.c.created_by)
        looked = [*columns, func.coalesce(job_requests.c.folder, ""), func.coalesce(job_requests.c.about, "")]
        parts.append(or_(*(column.icontains(wanted.search, autoescape=True) for column in looked)))
    return and_(*parts)


def matches(draft: Draft, wanted: Filter) -> bool:
    """Whether a draft is among what is wanted."""
    shown = draft.shown()
    name, equals, version = wanted.package.partition("=")
    named = draft.request.get("targets") or []
    words = (draft.job, shown["package"], shown["version"], shown["note"], shown["by"], draft.folder, draft.about)
    return (
        wanted.drafts
        and draft.created >= wanted.since
        and (not wanted.types or draft.type in wanted.types)
        and (not name or (shown["package"] == name and (not equals or shown["version"] == version)))
        and (not wanted.target or wanted.target in named)
        and (not wanted.folder or f"{draft.folder}/".startswith(f"{wanted.folder}/"))
        and any(wanted.search.casefold() in word.casefold() for word in words)
    )


def _known(what: str, said: frozenset[str], there: Iterable[str]) -> None:
    wrong = sorted(said - set(there))
    if wrong:
        raise UsageError(
            code=f"{what}.unknown",
            what=f"There is no {what} {wrong[0][:40]!r} of jobs.",
            todo=f"Choose from: {', '.join(there)}.",
        )
