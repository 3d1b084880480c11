"""The packages that a depot knows by their root, in the node's own database.

Rules
- A package is known from the order, pin or media that named it, until its last chunk went.
- `asked` is when somebody last wanted it; it is written down now and then, for losing a minute of it is no harm.
- Times are milliseconds since 1970 at the start and run on with the steady clock: a step of the wall clock
  neither ages a package nor ends the time that it is kept.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.database import Database

Digest = bytes


@dataclass(slots=True)
class HeldPackage:
    """One package; `asked` and `keep_until` are milliseconds since 1970."""

    root: Digest
    name: str
    version: str
    revision: int
    asked: int
    pinned: bool = False
    keep_until: int = 0


class KnownPackages:
    """The table `packages` of one node, in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[Digest, HeldPackage] = {}
        self._touched: set[Digest] = set()
        #: Grows whenever something is known, pinned or kept anew: what was planned before may be wrong.
        self.changes = 0
        self._began = time.time() - time.monotonic()

    def clock(self) -> int:
        """Milliseconds since 1970, never stepping while this process runs."""
        return int((self._began + time.monotonic()) * 1000)

    async def load(self) -> None:
        """Read them; once, at start."""
        rows = await self._db.read(
            lambda c: c.execute(
                "SELECT root, name, version, revision, asked, pinned, keep_until FROM packages"
            ).fetchall()
        )
        self._known = {
            row[0]: HeldPackage(row[0], row[1], row[2], row[3], row[4], bool(row[5]), row[6]) for row in rows
        }

    def all(self) -> list[HeldPackage]:
        """Every known package."""
        return list(self._known.values())

    def roots(self) -> set[Digest]:
        """The roots of all."""
        return set(self._known)

    def get(self, root: Digest) -> HeldPackage | None:
        """The package of this root."""
        return self._known.get(root)

    async def know(self, root: Digest, name: str, version: str, revision: int) -> None:
        """An order, a pin or media named this package."""
        self.changes += 1
        now = self.clock()
        held = self._known.get(root)
        if held is None:
            self._known[root] = HeldPackage(root, name, version, revision, now)
        else:
            held.asked = now
        await self._db.write(
            lambda c: c.execute(
                "INSERT INTO packages(root, name, version, revision, asked) VALUES (?,?,?,?,?)"
                " ON CONFLICT(root) DO UPDATE SET asked = excluded.asked",
                (root, name, version, revision, now),
            )
        )

    async def forget(self, roots: Iterable[Digest]) -> None:
        """These went."""
        gone = list(roots)
        for root in gone:
            self._known.pop(root, None)
        if gone:
            await self._db.write(lambda c: c.executemany("DELETE FROM packages WHERE root = ?", [(r,) for r in gone]))

    def asked(self, digests: Iterable[Digest]) -> None:
        """Somebody below asked for these; what is a known root counts as asked for now."""
        for digest in digests:
            if digest in self._known:
                self._known[digest].asked = self.clock()
                self._touched.add(digest)

    async def flush(self) -> None:
        """Write down when packages were last asked for."""
        rows = [(self._known[root].asked, root) for root in self._touched if root in self._known]
        self._touched.clear()
        if rows:
            await self._db.write(lambda c: c.executemany("UPDATE packages SET asked = ? WHERE root = ?", rows))

    def find(self, package: str) -> HeldPackage:
        """The newest package called "name", "name=version" (or "name@version"), or by its root's hex digits.

        Raises:
            UsageError: no such package is known here.
        """
        name, _, version = package.replace("@", "=").partition("=")
        version = version.partition("/")[0]
        found = [
            p
            for p in self._known.values()
            if (p.name == name and version in {"", p.version}) or p.root.hex() == package.lower()
        ]
        if not found:
            raise UsageError(
                code="package.unknown",
                what=f"The package {package} is not known in this depot",
                todo="See what is there with: tiercast depot show",
            )
        return max(found, key=lambda p: p.asked)

    async def pin(self, package: str, *, pinned: bool = True) -> HeldPackage:
        """Keep the package until it is unpinned; raises `UsageError` when it is not known."""
        held = self.find(package)
        held.pinned = pinned
        self.changes += 1
        await self._db.write(
            lambda c: c.execute("UPDATE packages SET pinned = ? WHERE root = ?", (int(pinned), held.root))
        )
        return held

    async def lease(self, name: str, versions: Collection[str], until: int) -> list[HeldPackage]:
        """Keep these versions of a package, as far as they are known, until then; what is kept longer stays so."""
        found = [p for p in self._known.values() if p.name == name and p.version in versions and p.keep_until < until]
        for held in found:
            held.keep_until = until
        if found:
            self.changes += 1
            rows = [(until, held.root) for held in found]
            await self._db.write(lambda c: c.executemany("UPDATE packages SET keep_until = ? WHERE root = ?", rows))
        return found

    async def keep(self, package: str, seconds: int) -> HeldPackage:
        """Keep the package for so long from now; 0 ends it.  Raises `UsageError` when it is not known."""
        held = self.find(package)
        self.changes += 1
        held.keep_until = self.clock() + seconds * 1000 if seconds else 0
        until = held.keep_until
        await self._db.write(
            lambda c: c.execute("UPDATE packages SET keep_until = ? WHERE root = ?", (until, held.root))
        )
        return held
