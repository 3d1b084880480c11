"""Whether an upload is whole and in order."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.packages import packages


def files(**data: bytes) -> dict[str, bytes]:
    return dict(data)


async def test_what_is_not_all_here_is_not_registered(world: Any, build_package: Any) -> None:
    root, chunks = build_package("app", "1", files(a=b"1" * 50, b=b"2" * 50))
    with pytest.raises(UsageError, match="1 chunks"):
        await world.library.register(root, "main", "t")
    await world.library.keep(chunks[2:])
    with pytest.raises(UsageError, match="2 chunks") as caught:
        await world.library.register(root, "main", "t")
    assert caught.value.code == "package.incomplete"
    assert await packages.list_(world.region, None) == []


async def test_what_is_no_package_is_not_registered(world: Any, build_package: Any) -> None:
    _, chunks = build_package("app", "1", files(a=b"just data"))
    await world.library.keep(chunks)
    with pytest.raises(UsageError) as caught:
        await world.library.register(chunks[0][0], "main", "t")
    assert caught.value.code == "package.invalid"


@pytest.mark.parametrize("definition", ["", 'name = "other"\nversion = "1"\n', 'version = "1"\nname = "app"\n'])
async def test_a_definition_that_is_not_the_packages_own(world: Any, build_package: Any, definition: str) -> None:
    with pytest.raises(UsageError) as caught:
        await _register(world, *build_package("app", "1", files(a=b"1"), definition=definition))
    assert caught.value.code == "package.invalid"


async def _register(world: Any, root: bytes, chunks: list[tuple[bytes, bytes]]) -> None:
    await world.library.keep(chunks)
    await world.library.register(root, "main", "t")
