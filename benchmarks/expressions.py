"""How long a target expression over 10,000 inventories takes, out of the region's database.

    scripts/bench expressions [--json]

Rules
- Inventories differ in name, kernel, labels and packages, so that nothing can be remembered from one to the next.
- A figure is the middle of five evaluations of one expression, all its parts: names, rows, facts, sets.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import insert

import harness
from tiercast_protocol.content.facts.inventory import Facts
from tiercast_protocol.content.jobs.target import parse
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_server.database.engine import Database
from tiercast_server.database.tables import groups, inventory, members, nodes
from tiercast_server.region import create_region, open_region
from tiercast_server.targeting import Targeting

COUNT, SITES, TIMES = 10_000, 20, 5
EXPRESSIONS = {
    "numbers_ms": 'where (memory >= 4 * 1024 * 1024 * 1024 && distribution == "debian")',
    "maps_ms": 'where (labels.floor == "3" && "p3" in packages && packages["p3"] != "1.3")',
    "pattern_ms": 'where (name.matches("^pc-[0-9]*7$") && kernel.startsWith("6.1"))',
    "sets_ms": 'below site-3, site-4 and not group sales minus where (cpus < 4 || labels.site == "site-3")',
}


def facts_of(number: int) -> Facts:
    """The facts of one machine."""
    return Facts(
        name=f"pc-{number}",
        os="linux",
        distribution="debian",
        version="12",
        python="3.11.2",
        kernel=f"6.1.0-{number}-amd64",
        architecture="x86_64",
        agent="1.0.0",
        cpus=1 << number % 4,
        memory=number % 16 << 30,
        disk_free=number << 20,
        disk_total=1 << 40,
        packages={f"p{n}": f"1.{n + number % 9}" for n in range(10)},
        labels={"site": f"site-{number % SITES}", "floor": str(number % 7), "asset": f"{number:08}"},
    )


async def fill(db: Database) -> None:
    """The region's rows."""
    plain = {"state": "joined", "generation": 1, "invited": 1, "public_key": bytes(32)}
    sites = [{"name": f"site-{n}", "role": "gateway", "parent": "server", **plain} for n in range(SITES)]
    ends = [{"name": f"pc-{n}", "role": "endpoint", "parent": f"site-{n % SITES}", **plain} for n in range(COUNT)]
    said = [
        {"node": f"pc-{n}", "generation": 1, "seq": 1, "at": 1, "received": 1, "wishes": ""}
        | {"facts": msgspec.json.encode(facts_of(n)).decode()}
        for n in range(COUNT)
    ]
    async with db.write() as connection:
        await connection.execute(insert(nodes), sites + ends)
        await connection.execute(insert(inventory), said)
        await connection.execute(insert(groups).values(name="sales", created=1))
        await connection.execute(insert(members), [{"group_name": "sales", "node": f"pc-{n}"} for n in range(3000)])


async def measure(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """What was done, and the figures."""
    figures: dict[str, float] = {}
    async with Database.open(folder / "region.db") as db:
        await create_region(db, name="r", server="server", now=1)
        region = await open_region(db, PrivateKey.generate())
        await fill(db)
        targeting = Targeting(region)
        for key, text in EXPRESSIONS.items():
            taken: list[float] = []
            for _ in range(TIMES):
                begin = time.perf_counter()
                async with db.read() as connection:
                    await targeting.pick(connection, parse(text), "endpoint")
                taken.append((time.perf_counter() - begin) * 1000)
            figures[key] = statistics.median(taken)
    figures["expression_ms"] = max(figures.values())
    size = len(msgspec.json.encode(facts_of(0)))
    return {"inventories": COUNT, "bytes_each": size, "sites": SITES, "expressions": EXPRESSIONS}, figures


def main() -> int:
    """Measure and print."""
    return harness.run("expressions", {"expression_ms": ("<=", 500)}, lambda folder: asyncio.run(measure(folder)))


if __name__ == "__main__":
    sys.exit(main())
