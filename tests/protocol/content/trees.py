"""Trees for tests of the manifest: made by seed, without any file."""

from __future__ import annotations

import random

from tiercast_protocol.content.sealed.digest import EMPTY
from tiercast_protocol.content.sealed.manifest import Entry, Kind, Part, order_key


def made_tree(seed: int, folders: int = 6, files: int = 12) -> list[Entry]:
    """Entries in tree order: packed, whole, empty and cut files, links, folders in folders."""
    chance = random.Random(seed)
    paths = [f"dir{n}" for n in range(folders)]
    paths += [f"{chance.choice(paths)}/sub-{n}" for n in range(folders)]
    entries = [Entry(path, Kind.FOLDER, 0o755) for path in paths]
    for path in ["", *paths]:
        pack, offset = chance.randbytes(32), 0
        for n in range(chance.randrange(files)):
            where = f"{path}/f{n:03}.txt".lstrip("/")
            what, size = chance.randrange(5), chance.randrange(1, 4000)
            mode = chance.choice([0o644, 0o755])
            if what == 0:
                entries.append(Entry(where, Kind.LINK, target="f000.txt"))
            elif what == 1:
                entries.append(Entry(where, Kind.FILE, mode, digest=EMPTY))
            elif what == 2:
                parts = tuple(
                    Part(chance.randbytes(32), 0, chance.randrange(1, 9000)) for _ in range(chance.randrange(2, 9))
                )
                whole = sum(part.length for part in parts)
                entries.append(Entry(where, Kind.FILE, mode, whole, digest=chance.randbytes(32), parts=parts))
            elif what == 3:
                digest = chance.randbytes(32)
                entries.append(Entry(where, Kind.FILE, mode, size, digest=digest, parts=(Part(digest, 0, size),)))
            else:
                parts = (Part(pack, offset, size),)
                offset += size
                entries.append(Entry(where, Kind.FILE, mode, size, digest=chance.randbytes(32), parts=parts))
    entries.sort(key=lambda entry: order_key(entry.path))
    return entries


def file_of(path: str, parts: int, seed: int = 1, size: int = 60_000) -> Entry:
    """A file of many whole chunks."""
    chance = random.Random(seed)
    made = tuple(Part(chance.randbytes(32), 0, size) for _ in range(parts))
    return Entry(path, Kind.FILE, 0o644, size * parts, digest=chance.randbytes(32), parts=made)
