"""The server's folder is taken before anything else, and only if a region stands there."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tiercast_protocol.errors import StateError, UsageError
from tiercast_protocol.node.places import place
from tiercast_server.claim import claim


async def test_one_server_per_folder(tmp_path: Path) -> None:
    here = place("server", tmp_path)
    here.config.touch()
    async with AsyncExitStack() as first:
        claim(first, here)
        async with AsyncExitStack() as second:
            with pytest.raises(StateError, match="another daemon"):
                claim(second, here)


async def test_a_folder_without_a_region_stays_as_it_was(tmp_path: Path) -> None:
    here = place("server", tmp_path / "wrong")
    async with AsyncExitStack() as stack:
        with pytest.raises(UsageError) as caught:
            claim(stack, here)
    assert caught.value.code == "region.none"
    assert not here.folder.exists()
