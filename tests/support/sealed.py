"""Packages sealed from files that a test names, and the patch between two of them."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiercast_cli.packager.seal import TreeSealer
from tiercast_protocol.content.package.definition import Definition
from tiercast_protocol.content.package.filegroups import FileGroup
from tiercast_protocol.content.patches.patchmake import make_patch
from tiercast_protocol.content.patches.patchplan import Side
from tiercast_protocol.content.sealed.chunk import unseal
from tiercast_protocol.content.sealed.manifest import Root, decode_list
from tiercast_protocol.wire.messages import PatchOffer


@dataclass(frozen=True)
class SealedPackage:
    """A package: digest of its root, the root, and all its chunks (stored forms)."""

    digest: bytes
    root: Root
    chunks: dict[bytes, bytes]

    def side(self) -> Side:
        """As `make_patch` takes it."""
        side = Side(self.digest, self.root)
        for listed in self.root.lists:
            side.add(decode_list(unseal(listed, self.chunks[listed])))
        return side


def sealed(
    folder: Path,
    contents: Mapping[str, bytes],
    version: str = "1",
    name: str = "app",
    files: tuple[FileGroup, ...] = (),
) -> SealedPackage:
    """The package of these contents, with the file groups `files`."""
    top = folder / f"{name}-{version}"
    top.mkdir(exist_ok=True)
    for path, data in contents.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(data)
    chunks: dict[bytes, bytes] = {}
    sealer = TreeSealer(top, Definition(name=name, version=version, files=files))
    for batch in sealer.batches():
        chunks.update(batch.stored())
    return SealedPackage(sealer.sealed.digest, sealer.sealed.root, chunks)


def patch_between(base: SealedPackage, result: SealedPackage) -> tuple[bytes, dict[bytes, bytes]]:
    """The patch's digest and all of its chunks (stored forms)."""
    held = base.chunks | result.chunks
    made = dict(make_patch(base.side(), result.side(), lambda digest: unseal(digest, held[digest])))
    return list(made)[-1], made


def offer_of(base: SealedPackage, result: SealedPackage) -> tuple[PatchOffer, dict[bytes, bytes]]:
    """The patch as a server offers it, and its chunks."""
    patch, chunks = patch_between(base, result)
    plain = sum(len(stored) for digest, stored in result.chunks.items() if digest not in base.chunks)
    size = sum(map(len, chunks.values()))
    return PatchOffer(base=base.digest, result=result.digest, patch=patch, size=size, plain=plain), chunks


@functools.lru_cache(maxsize=16)  # a test asks for the same few some thousand times, in a time that is limited
def like_code(seed: int, size: int) -> bytes:
    """Bytes that compress a little, as programs do."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randrange(3, 12)) for _ in range(4000)]
    made = b"".join(chance.choices(words, k=size // 7 + 1))
    return made[:size]


def shifted(data: bytes, seed: int, every: int = 97) -> bytes:
    """`data` as compilers change it: a byte every so often, so that hardly a chunk stays what it was."""
    made = bytearray(data)
    chance = random.Random(seed)
    for at in range(chance.randrange(every), len(made), every * 4):
        made[at] ^= 1 + chance.randrange(255)
    return bytes(made)
