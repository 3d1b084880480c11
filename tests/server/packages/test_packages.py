"""What a reference means."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.packages import packages


async def test_what_is_left_open_is_the_newest(world: Any) -> None:
    await world.package("app", "1.9", {"a": b"1"})
    await world.package("app", "1.10", {"a": b"2"})
    await world.package("app", "1.9", {"a": b"1 again"}, revision=2)
    async with world.region.db.read() as connection:
        found = {
            reference: (await packages.find_sealed(connection, reference)).reference
            for reference in ("app", "app=1.9", "app=1.9/1", "app=1.10")
        }
    assert found == {"app": "app=1.10/1", "app=1.9": "app=1.9/2", "app=1.9/1": "app=1.9/1", "app=1.10": "app=1.10/1"}
    shown = await packages.show(world.region, "app=1.9")
    assert (shown["version"], shown["versions"]) == ("1.9", ["app=1.10/1", "app=1.9/2", "app=1.9/1"])


@pytest.mark.parametrize("reference", ["", "=1", "app=", "app=1/x", "app=1/"])
def test_what_is_no_reference(reference: str) -> None:
    with pytest.raises(UsageError) as caught:
        packages.split_reference(reference)
    assert caught.value.code == "reference.invalid"


async def test_an_entry_has_no_content_to_send(world: Any) -> None:
    await packages.enter(world.region, "app", "1", "main", "t")
    async with world.region.db.read() as connection:
        with pytest.raises(UsageError) as caught:
            await packages.find_sealed(connection, "app")
    assert caught.value.code == "package.empty"
    with pytest.raises(UsageError):
        await packages.enter(world.region, "app", "no version", "main", "t")
