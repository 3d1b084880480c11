"""Which job of this machine's journal a person means.

Rules
- As everywhere: its id, or its number alone (`jobnames`); of what nothing here is called, what was asked for is given
  back, so that those above may know it.
"""

from __future__ import annotations

import sqlite3

from tiercast_protocol.content.jobs.jobnames import named, number_of


def called(connection: sqlite3.Connection, asked: str) -> str:
    """The id of the job that is called so here; else `asked`."""
    number = number_of(asked)
    if number is None:
        return asked
    rows = connection.execute("SELECT DISTINCT job FROM job WHERE job = ? OR job LIKE ?", (asked, f"j{number}-%"))
    return named(asked, [str(row[0]) for row in rows.fetchall()]) or asked
