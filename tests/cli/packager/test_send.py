"""A folder reaches a library chunk by chunk, and only what it lacks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tiercast_cli.packager.send import build_package, load_definition
from tiercast_cli.talk.parcels import MESSAGE_BYTES
from tiercast_protocol.content.package.definition import Definition
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.manifest import decode_root
from tiercast_protocol.errors import ConfigError, UsageError


class Library:
    """A server's library in memory: verifies what it is given, as the real one does."""

    def __init__(self) -> None:
        self.chunks: dict[bytes, bytes] = {}
        self.messages: list[int] = []
        self.fail_after: int | None = None

    async def call(self, verb: str, **args: Any) -> Any:
        if verb == "package.missing":
            asked = [args["digests"][at : at + 32] for at in range(0, len(args["digests"]), 32)]
            return {"missing": b"".join(d for d in asked if d not in self.chunks)}
        if verb == "package.store":
            if self.fail_after is not None and len(self.chunks) >= self.fail_after:
                raise UsageError("daemon.unreachable", "cut off")
            self.messages.append(sum(len(stored) for _, stored in args["chunks"]))
            for digest, stored in args["chunks"]:
                unseal(digest, stored)
                self.chunks[digest] = stored
            return {"stored": len(args["chunks"])}
        assert verb == "package.register"
        root = decode_root(unseal(args["root"], self.chunks[args["root"]]))
        return {"package": root.name, "version": root.version, "root": args["root"], "created": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = random.Random(3)
    tree = tmp_path / "tree"
    for number in range(40):
        file = tree / f"d{number % 5}" / f"f{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(rng.randbytes(rng.randrange(200_000)))
    return tree


HELLO = Definition(name="hello", version="1.0")


async def test_the_same_folder_again_sends_nothing(folder: Path) -> None:
    library = Library()
    first = await build_package(library, folder, HELLO, cabinet="main", show=False)
    assert first["sent_chunks"] == len(library.chunks)
    assert first["sent_bytes"] == sum(map(len, library.chunks.values()))
    assert max(library.messages) <= MESSAGE_BYTES + (1 << 20)
    again = await build_package(library, folder, HELLO, cabinet="main", show=False)
    assert again["sent_chunks"] == 0
    assert again["root"] == first["root"]


async def test_a_build_that_was_cut_off_goes_on_with_what_is_missing(folder: Path) -> None:
    library = Library()
    library.fail_after = 10
    with pytest.raises(UsageError):
        await build_package(library, folder, HELLO, cabinet="main", show=False)
    held = len(library.chunks)
    assert held >= 10
    library.fail_after = None
    made = await build_package(library, folder, HELLO, cabinet="main", show=False)
    assert made["sent_chunks"] == len(library.chunks) - held


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        await build_package(Library(), tmp_path / "nowhere", HELLO, cabinet="main", show=False)
    assert caught.value.where.endswith("nowhere")


async def test_the_folders_own_definition_is_used_and_not_packaged(folder: Path) -> None:
    plain = load_definition(None, folder, name="hello", version="1.0", revision=0)
    without = await build_package(Library(), folder, plain, cabinet="main", show=False)
    (folder / "package.toml").write_text('name = "hello"\nversion = "1.0"\n')
    own = load_definition(None, folder, name="", version="", revision=0)
    assert own == plain
    assert (await build_package(Library(), folder, own, cabinet="main", show=False))["root"] == without["root"]


def test_options_override_the_definition_and_are_checked_like_it(folder: Path) -> None:
    (folder / "package.toml").write_text('name = "hello"\nversion = "1.0"\n')
    changed = load_definition(None, folder, name="", version="2.0", revision=3)
    assert (changed.version, changed.revision) == ("2.0", 3)
    with pytest.raises(ConfigError):
        load_definition(None, folder, name="../evil", version="", revision=0)


def test_without_definition_and_name_it_says_what_to_give(folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_definition(None, folder, name="hello", version="", revision=0)
    assert caught.value.what.endswith("and no --version")
    with pytest.raises(UsageError, match="no such folder"):
        load_definition(None, folder / "gone", name="hello", version="", revision=0)
    with pytest.raises(UsageError):
        load_definition(folder / "missing.toml", folder, name="", version="", revision=0)
