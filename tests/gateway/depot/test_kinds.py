"""Which file groups machines below take: by what they said of themselves, and all of them in doubt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.endpoint.lab import USUAL
from tests.support.sealed import sealed

from tiercast_gateway.depot import kinds
from tiercast_gateway.depot.kinds import Kinds
from tiercast_protocol.content.facts.inventory import Inventory
from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.sealed.manifest import Root
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire import codec

GROUPS = (
    FileGroup("arm", "arm64", 'architecture == "aarch64"'),
    FileGroup("pc", "amd64", 'architecture == "x86_64"'),
    FileGroup("old", "i386", 'architecture == "i686"'),
)
INSERT = "INSERT INTO inventories (node, generation, seq, told, data, signature) VALUES (?, 1, 1, 1, ?, x'')"


@pytest.fixture(name="head")
def _head(tmp_path: Path) -> Root:
    return sealed(tmp_path, {f"{group.folder}/x": group.name.encode() for group in GROUPS}, files=GROUPS).root


async def say(db: Database, **architectures: str) -> None:
    rows: list[tuple[Any, ...]] = []
    for node, architecture in architectures.items():
        facts = msgspec.structs.replace(USUAL, name=node, architecture=architecture)
        said = Inventory(region="r", node=node, generation=1, seq=1, at=1, facts=facts)
        rows.append((node, codec.encode(said)))
    await db.write(lambda connection: connection.executemany(INSERT, rows))


async def test_what_nobody_below_takes_is_left_out(db: Database, head: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Kinds(db)
    assert await found.left_out(head) == frozenset(), "nobody said anything yet"
    await say(db, vax="vax")
    assert await found.left_out(head) == frozenset(), "no group is for anybody"
    await say(db, pc1="x86_64", pc2="x86_64")
    assert await found.left_out(head) == {"arm64", "i386"}
    monkeypatch.setattr(kinds, "_PART", 1)
    await say(db, arm="aarch64")
    assert await found.left_out(head) == {"i386"}
    monkeypatch.setattr(kinds, "TIME_LIMIT_S", -1)
    assert await found.left_out(head) == frozenset(), "it takes too long to tell"


async def test_a_word_of_another_version_may_take_anything(db: Database, head: Root) -> None:
    await say(db, pc1="x86_64")
    await db.write(lambda c: c.execute(INSERT, ("new", b"\xff")))
    assert await Kinds(db).left_out(head) == frozenset()


async def test_a_package_without_groups_is_whole(db: Database, tmp_path: Path) -> None:
    await say(db, pc1="x86_64")
    assert await Kinds(db).left_out(sealed(tmp_path, {"x": b"x"}).root) == frozenset()
