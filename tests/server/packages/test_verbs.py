"""The packager's verbs."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.packages.verbs import PackageVerbs


async def test_from_upload_to_deletion(world: Any, call: Any, build_package: Any) -> None:
    verbs = PackageVerbs(world.region, world.library)
    root, chunks = build_package("app", "1", {"a": b"1"})
    await verbs.entry(call("package.entry", name="app", version="1"))
    digests = b"".join(digest for digest, _ in chunks)
    assert await verbs.missing(call("package.missing", digests=digests)) == {"missing": digests}
    assert await verbs.store(call("package.store", chunks=[list(chunk) for chunk in chunks])) == {"stored": 3}
    assert await verbs.missing(call("package.missing", digests=digests)) == {"missing": b""}
    made = await verbs.register(call("package.register", root=root, cabinet="main"))
    assert made["created"]
    (shown,) = await verbs.list_(call("package.list"))
    assert shown["registered_by"] == "ann"
    assert (await verbs.show(call("package.show", package="app")))["version"] == "1"
    assert (await verbs.delete(call("package.delete", package="app")))["chunks"] == 3


@pytest.mark.parametrize("chunks", [None, "x", [b"x"], [[bytes(31), b"x"]], [[bytes(32), b""]], [[bytes(32)]]])
async def test_what_is_no_list_of_chunks(world: Any, call: Any, chunks: Any) -> None:
    with pytest.raises(UsageError) as caught:
        await PackageVerbs(world.region, world.library).store(call("package.store", chunks=chunks))
    assert caught.value.code == "argument.invalid"
