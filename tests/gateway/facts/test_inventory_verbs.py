"""Questions at a gateway: the same as at the server, out of what it holds."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_gateway.facts import inventories as kept
from tiercast_gateway.facts import software_rows
from tiercast_gateway.facts.inventory_verbs import InventoryVerbs
from tiercast_protocol.content.facts import software
from tiercast_protocol.content.facts.inventory import Facts, Inventory, sign_inventory
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.facts import InventoryEntry

KEY = PrivateKey.generate()


def word(node: str, cpus: int, digest: bytes) -> InventoryEntry:
    facts = Facts(
        name=node, os="linux", distribution="d", version="1", kernel="6", architecture="x", cpus=cpus, memory=1,
        disk_free=1, disk_total=1, python="3", agent="1",
    )  # fmt: skip
    one = Inventory(region="r", node=node, generation=1, seq=1, at=7, facts=facts, software=digest)
    data, signature = sign_inventory(one, KEY)
    return InventoryEntry(node=node, generation=1, seq=1, data=data, signature=signature)


@pytest.fixture
async def asked(db: Database) -> InventoryVerbs:
    digest, data = software.packed({"openssl": "3", "zlib": "1"})
    words = [word("pc-1", 1, digest), word("pc-2", 4, digest), word("pc-3", 8, b"")]
    await db.write(lambda c: kept._upsert(c, words))
    await db.write(lambda c: software_rows.keep(c, [(digest, data, b"", b"")]))
    await db.write(lambda c: c.execute("UPDATE inventories SET data = x'00' WHERE node = 'no-word'"))
    return InventoryVerbs(db)


def call(**args: Any) -> Call:
    return Call(verb="v", args=args, peer=Peer(1, 1, 1), role="viewer", user="ann", cause="")


async def test_questions_are_answered_here(asked: InventoryVerbs) -> None:
    assert [name for name, role, _ in asked.table() if role != "viewer"] == []
    listed = await asked.list_(call(where="cpus > 1"))
    assert [one["node"] for one in listed["nodes"]] == ["pc-2", "pc-3"]
    assert (await asked.list_(call(after="pc-2")))["nodes"][0]["facts"]["cpus"] == 8
    assert await asked.count(call(where='software["openssl"] == "3"')) == {
        "machines": 2,
        "of": 3,
        "unknown": {"software": 1},
    }
    assert (await asked.names(call()))["nodes"] == ["pc-1", "pc-2", "pc-3"]
    found = await asked.tally(call(by="software", top=1))
    assert (found["groups"], found["others"]) == ([{"value": "openssl 3", "machines": 2}], 1)
    shown = await asked.show(call(node="pc-1", software=True))
    assert (shown["at"], shown["software"]) == (7, [["openssl", "3"], ["zlib", "1"]])
    assert (await asked.show(call(node="pc-3", software=True)))["software"] == []


async def test_what_only_the_region_knows_is_refused(asked: InventoryVerbs) -> None:
    for question, args, code in (
        (asked.count, {"target": "group sales"}, "target.region"),
        (asked.show, {"node": "pc-9"}, "inventory.none"),
        (asked.count, {"where": "speed > 1"}, "fact.unknown"),
        (asked.tally, {"by": "speed"}, "fact.unknown"),
    ):
        with pytest.raises(UsageError) as caught:
            await question(call(**args))
        assert caught.value.code == code
