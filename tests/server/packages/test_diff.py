"""What leads from one package to another: paths by kind, and the bytes that are needed beyond."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.node import fetch
from tiercast_server.packages.diff import compare
from tiercast_server.packages.verbs import PackageVerbs


async def test_paths_and_bytes(world: Any, call: Any) -> None:
    await world.package("app", "1", {"same": b"s" * 100_000, "old": b"o", "changed": b"1" * 50_000})
    await world.package("app", "2", {"same": b"s" * 100_000, "new": b"n" * 3, "changed": b"2" * 50_000})
    verbs = PackageVerbs(world.region, world.library)
    found = await verbs.diff(call("package.diff", package="app=1", **{"with": "app=2"}))
    assert found["counts"] == {"added": 1, "removed": 1, "changed": 1, "same": 1}
    assert [row["path"] for row in found["paths"]["added"]] == ["new"]
    assert [row["path"] for row in found["paths"]["removed"]] == ["old"]
    assert found["paths"]["changed"] == [
        {"path": "changed", "kind": "file", "size": 50_000, "was": 50_000, "how": "content"}
    ]
    assert found["chunks"] > 0
    assert found["stored_bytes"] > 0


async def test_a_package_and_itself(world: Any) -> None:
    made = await world.package("app", "1", {"a": b"1"})
    root = await fetch.read_root(made, world.library.store)
    found = await compare(world.library.store, root, root)
    assert found.counts == {"added": 0, "removed": 0, "changed": 0, "same": 1}
    assert (found.chunks, found.stored_bytes) == (0, 0)
