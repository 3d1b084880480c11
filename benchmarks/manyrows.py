"""How soon the server answers over 10,000 endpoints and 1,000,000 targets, on SQLite and on PostgreSQL.

Rules
- Rows are written straight into the database: 100 jobs to everybody; the last `OPEN` are under way, in all states, with
  what 20 gateways say of why; the rest have ended, each target with a receipt of the usual size.
- Asked at the control socket of a real server, one call after the other, as the command line asks. A figure is the 99th
  percentile of `CALLS` calls, of the slower database.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from tests.support import postgres

from harness import note
from region import Region
from tiercast_gateway.why.reasons import encoded
from tiercast_protocol.content.jobs.reason import because
from tiercast_protocol.node.control.client import connect
from tiercast_protocol.wire import codec

NODES, JOBS, OPEN, SITES = 10_000, 100, 5, 20
CALLS = 100
DAY_MS = 86_400_000
#: What stands in a receipt and is never read by what is measured.
RECEIPT, SIGNATURE = bytes(280), bytes(64)
STATES = ("ordered", "waiting", "fetching", "staged", "installing", "done", "failed")
NODE = "name role parent state public_key password_hash generation invited joined url"
JOB = (
    "id number type revision state cancelling package version package_revision root note created_by options created"
    " expires closed target follows origin"
)
TARGET = "job node parent ordered state code detail revision attempt seq done total at since proved receipt signature"
HOP = "job node state revision attempt seq done total rate at why"

Rows = Iterator[tuple[Any, ...]]


def tables(now: int) -> dict[str, tuple[list[str], Rows]]:
    """Columns and rows of every table that is filled, parents before children."""
    sites = [f"site-{number:02}" for number in range(SITES)]
    node = ("joined", bytes(32), "", 1, now, now, "")

    def nodes() -> Rows:
        yield from ((name, "gateway", "server", *node) for name in sites)
        yield from ((name_of(number), "endpoint", sites[number % SITES], *node) for number in range(NODES))

    def jobs() -> Rows:
        options = codec.encode({})
        for number in range(1, JOBS + 1):
            is_open = number > JOBS - OPEN
            yield (
                *(job_of(number), number, "install", 1, "open" if is_open else "done", False, f"p{number % 10}", "1.0"),
                *(1, bytes(32), "", "root", options, now - DAY_MS, now + DAY_MS, None if is_open else now),
                *("group everybody", False, ""),
            )

    def targets() -> Rows:
        for job in range(1, JOBS + 1):
            for number in range(NODES):
                state = STATES[number % len(STATES)] if job > JOBS - OPEN else "done"
                ended = state in {"done", "failed"}
                code = "program.failed" if state == "failed" else "time.install" if state == "staged" else ""
                said = (1, state, code, "", 1, 1, 7, 10, 20, now, now)
                proof = (True, RECEIPT, SIGNATURE) if ended else (False, b"", b"")
                yield (job_of(job), name_of(number), sites[number % SITES], *said, *proof)

    def hops() -> Rows:
        for job in range(JOBS - OPEN + 1, JOBS + 1):
            for at, site in enumerate(sites):
                away = [name_of(number) for number in range(at, NODES, SITES) if number % len(STATES) == 0]
                why = encoded({one: because("away", node=site, peer=one, since=now) for one in away})
                yield job_of(job), site, "held", 1, 1, 9, 20, 20, 1000, now, why

    return {
        "nodes": (NODE.split(), nodes()),
        "jobs": (JOB.split(), jobs()),
        "targets": (TARGET.split(), targets()),
        "hops": (HOP.split(), hops()),
    }


def name_of(number: int) -> str:
    """An endpoint."""
    return f"pc-{number:05}"


def job_of(number: int) -> str:
    """A job."""
    return f"j{number}-{number:04x}"


def fill_sqlite(path: Path) -> None:
    """Into a region's file."""
    with sqlite3.connect(path) as db:
        for table, (columns, rows) in tables(time.time_ns() // 1_000_000).items():
            marks = ",".join("?" * len(columns))
            into = f"INSERT INTO {table}({','.join(columns)}) VALUES ({marks})"  # noqa: S608 - all of it stands above
            db.executemany(into, rows)
        db.execute("UPDATE region SET last_job = ?", (JOBS,))
        db.execute("ANALYZE")
    db.close()


async def fill_postgres(address: str) -> None:
    """Into a region's database."""
    connection = await asyncpg.connect(address)
    try:
        for table, (columns, rows) in tables(time.time_ns() // 1_000_000).items():
            await connection.copy_records_to_table(table, records=rows, columns=columns)
        await connection.execute("UPDATE region SET last_job = $1", JOBS)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


async def ask(socket: Path) -> dict[str, float]:
    """Every verb's 99th percentile in milliseconds."""
    job = job_of(JOBS)
    asked: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "show_ms": [("job.show", {"job": job, "most": 100})],
        "why_ms": [("job.why", {"job": job}), ("job.why", {"job": job, "target": name_of(7)})],
        "list_ms": [("job.list", {}), ("job.list", {"target": name_of(7)}), ("job.list", {"states": ["open"]})],
    }
    found: dict[str, float] = {}
    async with connect(socket) as client:
        for key, calls in asked.items():
            for number, (verb, args) in enumerate(calls):
                taken: list[float] = []
                for _ in range(CALLS):
                    began = time.perf_counter()
                    await client.call(verb, **args)
                    taken.append((time.perf_counter() - began) * 1000)
                p99 = sorted(taken)[len(taken) * 99 // 100 - 1]
                found[f"{key}.{number}.median"] = statistics.median(taken)
                found[key] = max(found.get(key, 0.0), p99)
        found["show_all_ms"], after = 0.0, ""
        while True:  # as `job show --all` asks
            began = time.perf_counter()
            page = await client.call("job.show", job=job, after=after)
            taken_ms = (time.perf_counter() - began) * 1000
            found["show_all_ms"] += taken_ms
            found["show_page_ms"] = max(found.get("show_page_ms", 0.0), taken_ms)
            if not (after := page["next"]):
                break
    return found


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Address by name; "" is a file in the server's folder. A PostgreSQL of our own runs meanwhile."""
    with postgres.running() as server, server.database(ground=False) as address:
        yield {"sqlite": "", "postgresql": address}


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Figures by database."""
    found: dict[str, dict[str, float]] = {}
    with databases() as addresses:
        for name, address in addresses.items():
            with Region(folder / name[:2], broker="mosquitto") as region:
                server = region.add_server(database=address)
                region.stop()
                began = time.monotonic()
                if address:
                    asyncio.run(fill_postgres(address))
                else:
                    fill_sqlite(server.folder / "region.db")
                filled = time.monotonic() - began
                region.start(server)
                found[name] = asyncio.run(ask(server.socket))
                shown = ", ".join(f"{key} {value:.0f}" for key, value in found[name].items())
                note(f"{name}, {JOBS * NODES} targets, filled in {filled:.0f} s: {shown}")
    return found
