"""Templates as rows."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs import templates
from tiercast_server.jobs.template_fill import Template

ONE = Template({"type": "install", "package": "hello"}, {"package": "hello", "on": None})


async def test_saved_shown_replaced_and_forgotten(world: Any) -> None:
    said: dict[str, Any] = {"note": "n", "by": "ann", "now": 5}
    async with world.region.db.write() as connection:
        await templates.save(connection, "nightly", ONE, replace=False, **said)
        assert await templates.get(connection, "nightly") == ONE
        with pytest.raises(UsageError) as caught:
            await templates.save(connection, "nightly", ONE, replace=False, **said)
        assert caught.value.code == "template.exists"
        other = Template({"type": "restart"}, {})
        await templates.save(connection, "nightly", other, replace=True, **said)
        (shown,) = await templates.list_(connection)
        assert (shown["template"], shown["type"], shown["by"], shown["created"]) == ("nightly", "restart", "ann", 5)
        assert (await templates.show(connection, "nightly"))["request"] == {"type": "restart"}
        await templates.remove(connection, "nightly")
        assert await templates.list_(connection) == []


@pytest.mark.parametrize("name", ["", "a b", "x" * 64, "../x"])
async def test_names(world: Any, name: str) -> None:
    async with world.region.db.write() as connection:
        with pytest.raises(UsageError) as caught:
            await templates.save(connection, name, ONE, note="", by="a", now=1, replace=False)
        assert caught.value.code == "name.invalid"


async def test_an_unknown_one_is_named_with_the_nearest(world: Any) -> None:
    async with world.region.db.write() as connection:
        await templates.save(connection, "nightly", ONE, note="", by="a", now=1, replace=False)
        for work in (templates.get, templates.show, templates.remove):
            with pytest.raises(UsageError, match="nightly") as caught:
                await work(connection, "nigthly")
            assert caught.value.code == "template.unknown"
