"""Endpoints that have joined, written straight into the databases of server and gateways while these are stopped.

Rules
- What stands there afterwards is what enrolment leaves: nodes, admissions and candidates at the server, by its own
  `Settling`; routes, keys and broker users, guests too, at each tier on the way. (Enrolment itself takes ten thousand
  round trips, and is another figure.)
- Every endpoint has a key and a password of its own.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import delete, select

from region import Region
from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import KIND_OF, Admitted
from tiercast_server.database.engine import Database
from tiercast_server.database.tables import handovers
from tiercast_server.nodes.placings import Settling
from tiercast_server.region import open_region

GROUP = "everybody"


@dataclass(frozen=True, slots=True)
class Seat:
    """What one simulated endpoint is told of itself; `seed` is its key's, in hex."""

    name: str
    parent: str
    url: str
    password: str
    seed: str


def seat(region: Region, gateways: Sequence[str], numbers: range) -> list[Seat]:
    """Let the endpoints of these numbers in, spread evenly over the gateways; none of their daemons may run."""
    found: list[Seat] = []
    users: dict[str, list[tuple[str, str, bytes]]] = {name: [] for name in gateways}
    for number in numbers:
        gateway = gateways[number % len(gateways)]
        seed, password = secrets.token_bytes(32), secrets.token_urlsafe(18)
        url = f"mqtt://127.0.0.1:{region.daemons[gateway].port}"
        found.append(Seat(f"pc-{number:05}", gateway, url, password, seed.hex()))
        users[gateway].append((found[-1].name, hash_password(password), PrivateKey(seed).public))
    folder = region.daemons["server"].folder
    _at_server(folder, users)
    told = asyncio.run(_settled(folder, f"mqtt://127.0.0.1:{region.daemons['server'].port}"))
    for gateway, mine in users.items():
        _at_gateway(region.daemons[gateway].folder, gateway, mine, [one for one in told if one.parent == gateway])
    _guests(folder, [one for one in told if one.parent == "server"])
    return found


def write_spec(path: Path, region: Region, gateway: str, seats: Sequence[Seat]) -> None:
    """The file that a `crowd.py` is started with."""
    enrolled = json.loads((region.daemons[gateway].folder / "enrolled.json").read_text("utf-8"))
    spec = {"region": region.name, "region_key": enrolled["region_key"], "seats": [asdict(one) for one in seats]}
    path.write_text(json.dumps(spec), "utf-8")


def _at_server(folder: Path, users: dict[str, list[tuple[str, str, bytes]]]) -> None:
    now = time.time_ns() // 1_000_000
    every = [(gateway, *user) for gateway, mine in users.items() for user in mine]
    with sqlite3.connect(folder / "region.db") as db:
        db.executemany(
            "INSERT INTO nodes(name, role, parent, state, public_key, password_hash, generation, invited, joined, url)"
            " VALUES (?,'endpoint',?,'joined',?,?,1,?,?,'')",
            [(name, gateway, key, hash_, now, now) for gateway, name, hash_, key in every],
        )
        db.executemany(
            "INSERT INTO admissions(gateway, node, guest, generation) VALUES (?,?,0,1)",
            [(gateway, name) for gateway, name, _, _ in every],
        )
        db.execute("INSERT OR IGNORE INTO node_groups(name, created) VALUES (?,?)", (GROUP, now))
        db.executemany(
            "INSERT INTO group_members(group_name, node) VALUES (?,?)", [(GROUP, name) for _, name, _, _ in every]
        )
    db.close()
    with sqlite3.connect(folder / "node.db") as db:
        db.executemany("INSERT INTO routes(node, via) VALUES (?,?)", [(name, gateway) for gateway, name, _, _ in every])
        _place(db, [(name, gateway, key) for gateway, name, _, key in every])
    db.close()


async def _settled(folder: Path, url: str) -> list[Admitted]:
    """What the server would tell of its newcomers, put down as told; those parts that are for brokers."""
    key = PrivateKey.load(folder / "region.key")
    async with Database.open(folder / "region.db") as db:
        region = await open_region(db, key)
        async with db.write() as connection:
            await Settling(region, lambda: url).settle(connection)
            rows = (await connection.execute(select(handovers))).all()
            await connection.execute(delete(handovers))
    return [codec.decode(row.body, Admitted) for row in rows if row.kind == KIND_OF[Admitted]]


def _guests(folder: Path, told: Sequence[Admitted]) -> None:
    with sqlite3.connect(folder / "node.db") as db:
        db.executemany(
            "INSERT INTO users(name, password_hash, role, public_key, generation, token_id, expires, guest)"
            " VALUES (?,?,?,?,?,'',0,1)",
            [(one.name, one.password_hash, one.role, one.public_key, one.generation) for one in told],
        )
    db.close()


def _at_gateway(folder: Path, gateway: str, users: list[tuple[str, str, bytes]], guests: Sequence[Admitted]) -> None:
    _guests(folder, guests)
    with sqlite3.connect(folder / "node.db") as db:
        db.executemany(
            "INSERT INTO users(name, password_hash, role, public_key, generation, token_id, expires, guest)"
            " VALUES (?,?,'endpoint',?,1,'',0,0)",
            [(name, hash_, key) for name, hash_, key in users],
        )
        db.executemany("INSERT INTO routes(node, via) VALUES (?,?)", [(name, name) for name, _, _ in users])
        _place(db, [(name, gateway, key) for name, _, key in users])
    db.close()


def _place(db: sqlite3.Connection, rows: list[tuple[str, str, bytes]]) -> None:
    db.executemany("INSERT INTO placings(node, parent, public_key, generation, seq) VALUES (?,?,?,1,0)", rows)
