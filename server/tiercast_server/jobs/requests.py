"""What jobs were asked with, as rows: drafts, folders, and what a copy is made of.

Rules
- A draft is a request that was not carried out; started, it keeps its id and its row, as what the job was asked with.
- Starting takes the draft out of its state in the transaction that makes the job: two starts make one job.
- A folder is a path of names and needs no making: it is there while something is in it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tiercast_protocol.content.jobs import jobtypes
from tiercast_protocol.content.jobs.jobnames import number_of
from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire import codec
from tiercast_server.database.tables import job_requests
from tiercast_server.database.tables import region as region_table

#: Arguments of `job.create` that are about this one call.
_OF_THE_CALL = frozenset({"confirm", "dry_run", "draft", "folder"})
_PART = re.compile(r"[^\W_][\w .+-]{0,62}\Z")
_DEEPEST = 8
_SHOWN = 200
#: Drafts that are looked through for a list.
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a request.

    Attributes:
        args: the arguments of `job.create`.
        folder: where the job is put.
        draft: the draft that it is the start of; "" for none.
    """

    args: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """One row; `created` in milliseconds since 1970."""

    job: str
    number: int
    folder: str
    about: str
    created_by: str
    created: int
    request: dict[str, Any]

    @property
    def type(self) -> str:
        """The job's type."""
        return str(self.request.get("type", ""))

    def shown(self) -> dict[str, Any]:
        """As `job.show` and `job.list` answer it."""
        package, _, version = str(self.request.get("package", "")).partition("=")
        return {
            "job": self.job,
            "type": self.type,
            "package": package,
            "version": version,
            "about": self.about,
            "folder": self.folder,
            "state": jobtypes.DRAFT,
            "by": self.created_by,
            "note": str(self.request.get("note", "")),
            "created": self.created,
            "targets": 0,
            "counts": {},
        }


def _draft(row: RowMapping) -> Draft:
    return Draft(
        job=row["job"],
        number=row["number"],
        folder=row["folder"],
        about=row["about"],
        created_by=row["created_by"],
        created=row["created"],
        request=codec.decode_plain(row["request"]),
    )


def check_folder(path: str) -> str:
    """The folder's path; "" (or "/") is the top.

    Raises:
        UsageError: folder.invalid.
    """
    parts = [] if path in {"", "/"} else path.strip("/").split("/")
    if len(parts) > _DEEPEST or len(path) > 255 or not all(_PART.match(part) for part in parts):  # noqa: PLR2004 - the column
        raise UsageError(
            code="folder.invalid",
            what=f"{path[:60]!r} is no folder of jobs.",
            todo=f"Write a/b: at most {_DEEPEST} names, each of letters, digits, blanks and . _ + -. Nothing was done.",
        )
    return "/".join(parts)


def about(args: Mapping[str, Any]) -> str:
    """What a request is about, in one line: its package, its program, its text."""
    options = args.get("options")
    said = options if isinstance(options, dict) else {}
    text = str(args.get("package") or said.get("title") or said.get("text") or "")
    if not text and isinstance(said.get("argv"), str):
        try:
            text = " ".join(map(str, json.loads(said["argv"])))
        except ValueError:
            text = said["argv"]
    return " ".join(text.split())[:_SHOWN]


def lasting(args: Mapping[str, Any]) -> dict[str, Any]:
    """Of the arguments of a call, what is of the job."""
    return {key: value for key, value in args.items() if key not in _OF_THE_CALL}


async def identity(connection: AsyncConnection, kept: Kept) -> tuple[str, int]:
    """Id and number of the job that is being made: a new one's, or the draft's, which is none any more.

    Raises:
        UsageError: job.unknown or job.open.
    """
    if not kept.draft:
        await connection.execute(update(region_table).values(last_job=region_table.c.last_job + 1))
        number: int = (await connection.execute(select(region_table.c.last_job))).scalar_one()
        return f"j{number}-{secrets.token_hex(2)}", number
    draft = await get_draft(connection, kept.draft)
    await connection.execute(delete(job_requests).where(job_requests.c.job == draft.job))
    return draft.job, draft.number


async def keep(
    connection: AsyncConnection, job: tuple[str, int], kept: Kept, by: str, now: int, *, draft: bool
) -> None:
    """Write down what the job was asked with.

    Raises:
        UsageError: folder.invalid.
    """
    await connection.execute(
        insert(job_requests).values(
            job=job[0],
            number=job[1],
            draft=draft,
            folder=check_folder(kept.folder),
            about=about(kept.args),
            created_by=by,
            created=now,
            request=codec.encode(lasting(kept.args)),
        )
    )


async def rewrite(connection: AsyncConnection, job: str, args: Mapping[str, Any]) -> None:
    """The draft `job` says this from now on."""
    said = {"about": about(args), "request": codec.encode(lasting(args))}
    await connection.execute(update(job_requests).where(job_requests.c.job == job, job_requests.c.draft).values(**said))


async def find_draft(connection: AsyncConnection, job: str) -> Draft | None:
    """The draft `job`, by its id or its number."""
    which = job_requests.c.job == job
    if (number := number_of(job)) is not None:
        which |= job_requests.c.number == number
    query = select(job_requests).where(which, job_requests.c.draft)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _draft(row)


async def get_draft(connection: AsyncConnection, job: str) -> Draft:
    """The draft `job`.

    Raises:
        UsageError: draft.unknown.
    """
    found = await find_draft(connection, job)
    if found is None:
        raise UsageError(
            code="draft.unknown",
            what=f"There is no draft {job[:60]!r}; perhaps it was started.",
            todo="`tiercast job list --state draft` shows all drafts. Nothing was done.",
        )
    return found


async def drafts(connection: AsyncConnection, most: int = _MOST) -> list[Draft]:
    """The newest drafts, newest first."""
    query = select(job_requests).where(job_requests.c.draft).order_by(job_requests.c.number.desc()).limit(most)
    return [_draft(row) for row in (await connection.execute(query)).mappings()]


async def asked_with(connection: AsyncConnection, job: str) -> tuple[dict[str, Any], str] | None:
    """What the job (or draft) with this id was asked with, and its folder; None for one from before that was kept."""
    query = select(job_requests.c.request, job_requests.c.folder).where(job_requests.c.job == job)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else (codec.decode_plain(row.request), row.folder)


async def move(connection: AsyncConnection, job: str, folder: str) -> bool:
    """Put the job with this id into a folder; False when nothing is kept of it."""
    done = await connection.execute(
        update(job_requests).where(job_requests.c.job == job).values(folder=check_folder(folder))
    )
    return bool(done.rowcount)


async def folders(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Every folder in which something is, by name: how many drafts, and how many jobs; "" is the top."""
    columns = (job_requests.c.folder, job_requests.c.draft)
    query = select(*columns, func.count().label("n")).group_by(*columns)
    found: dict[str, dict[str, Any]] = {}
    for row in await connection.execute(query):
        one = found.setdefault(row.folder, {"folder": row.folder, "jobs": 0, "drafts": 0})
        one["drafts" if row.draft else "jobs"] = row.n
    return [found[name] for name in sorted(found)]


async def forget(connection: AsyncConnection, job: str) -> None:
    """Nothing is kept of the job with this id."""
    await connection.execute(delete(job_requests).where(job_requests.c.job == job))
