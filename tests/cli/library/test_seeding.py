"""From a daemon to media and from media to a daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tiercast_cli.library import seeding
from tiercast_cli.library.media import pack_name
from tiercast_protocol.content.sealed.chunk import seal
from tiercast_protocol.errors import ChunkMissing, UsageError
from tiercast_protocol.node.giving import VERB, give

CHUNKS = dict(seal(bytes([n]) * (n + 1) * 300) for n in range(20))
ROOT = next(iter(CHUNKS))


@dataclass
class Fake:
    """A daemon with these chunks; remembers what it was called for."""

    held: dict[bytes, bytes] = field(default_factory=dict)
    whole: bool = True
    calls: list[str] = field(default_factory=list)

    async def call(self, verb: str, **args: Any) -> Any:
        self.calls.append(verb)
        match verb:
            case "depot.members":
                digests = list(CHUNKS)
                page = b"".join(digests[args["at"] : args["at"] + 8])
                head = {"package": "tool", "version": "1.0", "revision": 1, "root": ROOT}
                return head | {"count": len(digests), "digests": page}
            case "package.missing":
                joined = args["digests"]
                each = (joined[at : at + 32] for at in range(0, len(joined), 32))
                return {"missing": b"".join(d for d in each if d not in self.held)}
            case "package.store":
                self.held |= dict(args["chunks"])
                return {"stored": len(args["chunks"])}
            case "package.register":
                if not self.whole:
                    raise UsageError("package.invalid", "it makes no sense")
                return {"package": "tool", "version": "1.0", "lacking": len(CHUNKS) - len(self.held)}
        assert verb == VERB

        async def read(digest: bytes) -> bytes:
            if digest not in self.held:
                raise ChunkMissing(digest)
            return self.held[digest]

        return await give(args["digests"], args["offset"], read)


def quiet(_done: int, _total: int) -> None:
    """Tell nobody."""


async def test_there_and_back_and_only_what_is_missing(tmp_path: Path) -> None:
    made = await seeding.export(Fake(CHUNKS), "tool", tmp_path, node="", tell=quiet)
    assert (made["chunks"], made["written"]) == (20, 20)
    again = await seeding.export(Fake(CHUNKS), "tool", tmp_path, node="", tell=quiet)
    assert (again["chunks"], again["written"]) == (20, 0)
    some = dict(list(CHUNKS.items())[:5])
    target = Fake(dict(some))
    seeded = await seeding.seed(target, tmp_path, tell=quiet)
    assert (seeded["sent"], seeded["damaged"]) == (15, [])
    assert seeded["packages"] == [{"package": "tool", "version": "1.0", "lacking": 0}]
    assert target.held == CHUNKS
    assert target.calls[:2] == ["package.missing", "package.register"], "the roots first"


async def test_what_can_not_be_read_there_is_no_export(tmp_path: Path) -> None:
    held = dict(list(CHUNKS.items())[:12])
    with pytest.raises(UsageError, match="8 chunks could not be read"):
        await seeding.export(Fake(held), "tool", tmp_path, node="", tell=quiet)
    made = await seeding.export(Fake(CHUNKS), "tool", tmp_path, node="", tell=quiet)
    assert made["written"] == 8, "it goes on"


async def test_wrong_bytes_are_named_and_not_sent(tmp_path: Path) -> None:
    await seeding.export(Fake(CHUNKS), "tool", tmp_path, node="", tell=quiet)
    pack = tmp_path / pack_name(1)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    target = Fake(whole=False)
    seeded = await seeding.seed(target, tmp_path, tell=quiet)
    assert len(seeded["damaged"]) == 1
    assert len(target.held) == 19
    assert all(CHUNKS[digest] == stored for digest, stored in target.held.items())
    assert seeded["packages"][0]["error"] == "it makes no sense"
