"""Lists of software as rows: made of what came, told once."""

from __future__ import annotations

from tiercast_gateway.facts import software_rows
from tiercast_protocol.content.facts import software
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.facts import SoftwareList

A, B, C = {"a": "1"}, {"a": "2"}, {"a": "3", "b": "1"}
(ONE, WHOLE), (TWO, SECOND), (THREE, THIRD) = (software.packed(one) for one in (A, B, C))


async def test_a_chain_of_steps_is_taken_and_told_as_one(db: Database) -> None:
    steps = [
        SoftwareList(digest=TWO, data=software.difference(A, B), base=ONE),
        SoftwareList(digest=THREE, data=software.difference(B, C), base=TWO),
    ]
    rows, wrong = software_rows.made(steps, {ONE: WHOLE})
    assert [(row[0], row[2]) for row in rows] == [(TWO, ONE), (THREE, TWO)]
    assert software.unpacked(THREE, rows[1][1]) == C
    assert software_rows.made(steps, {}) == ([], [])
    assert len(software_rows.made([SoftwareList(digest=ONE, data=SECOND)], {})[1]) == 1
    await db.write(lambda c: software_rows.keep(c, rows))
    told, more = await db.read(lambda c: software_rows.untold(c, 1 << 20))
    assert (more, [one.base for one in told]) == (False, [b"", TWO]), "the first whole: its base was told to nobody"
    assert (await db.read(lambda c: software_rows.untold(c, 1)))[1], "a message has its size"
    await db.write(lambda c: software_rows.told(c, told))
    assert await db.read(lambda c: software_rows.untold(c, 1 << 20)) == ([], False)
    await db.write(lambda c: software_rows.tell_whole(c, [THREE]))
    assert (await db.read(lambda c: software_rows.untold(c, 1 << 20)))[0][0].base == b""
    assert wrong == []
    assert THIRD
