"""What a tier remembers of where nodes are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.hop import admitted

from tiercast_gateway.children.placings import Known, Placings
from tiercast_gateway.tables import SCHEMA
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import Admitted
from tiercast_protocol.wire.moving import Below

KEY = b"k" * 32


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(tmp_path / "node.db", SCHEMA) as made:
        yield made


def guest(name: str, parent: str, generation: int = 1) -> Admitted:
    return Admitted(
        name=name, role="endpoint", parent=parent, public_key=KEY, password_hash="x", generation=generation, guest=True
    )


async def test_key_first_place_later_and_both_outlive_the_process(db: Database) -> None:
    placings = Placings(db)
    assert await placings.admitted(guest("pc", "east"))
    assert placings.get("pc") == Known("", KEY, 1)
    assert not await placings.admitted(guest("pc", "east"))
    assert await placings.admitted(admitted("pc", "west"))  # where it is at home is news
    assert not await placings.admitted(admitted("pc", "north"))  # a planned move is none, before it is made
    await placings.place("pc", "east", 7)
    assert await placings.admitted(guest("pc", "east", 2))  # another key
    assert not await placings.admitted(guest("pc", "east", 1))
    again = Placings(db)
    await again.load()
    assert again.get("pc") == Known("east", KEY, 2)


async def test_a_gateway_takes_all_below_it_along(db: Database) -> None:
    placings = Placings(db)
    for name, parent in (("a", "r"), ("b", "r"), ("a1", "a"), ("pc", "a1"), ("other", "b")):
        await placings.admitted(admitted(name, parent))
    assert placings.family("a") == {"a", "a1", "pc"}
    await placings.place("pc", "b", 3)
    assert placings.family("a") == {"a", "a1"}
    assert placings.family("b") == {"b", "other", "pc"}
    assert [one.node for one in placings.below(["pc", "unknown"])] == ["pc"]
    await placings.forget(["pc"])
    assert placings.family("b") == {"b", "other"}


async def test_what_a_newcomer_says_of_others_is_taken_for_strangers_alone(db: Database) -> None:
    placings = Placings(db)
    await placings.admitted(admitted("mine", "here"))
    await placings.place("mine", "here", 9)
    claims = [
        Below(node="mine", parent="thief", public_key=b"x" * 32, generation=1, seq=8),
        Below(node="news", parent="thief", public_key=KEY, generation=1, seq=5),
        Below(node="thief", parent="news", public_key=KEY, generation=1, seq=5),
    ]
    await placings.claim(claims, "thief")
    assert placings.get("mine") == Known("here", KEY, 1, 9)
    assert placings.get("news") == Known("thief", KEY, 1, 5)
    assert placings.get("thief") is None
