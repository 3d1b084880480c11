"""The job that an assignment has made."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired import rows as assignment_rows
from tiercast_server.desired.document import Assignment
from tiercast_server.desired.life import Order
from tiercast_server.desired.orders import options_of, order


def test_windows_by_name_are_those_of_now() -> None:
    one = Assignment("a", "node pc1", has="app", window=["day", "night"], options={"priority": 3})
    windows = {"day": "daily 08:00-09:00", "night": "daily 22:00-23:00"}
    assert options_of(one, windows) == {"priority": 3, "install_window": "daily 08:00-09:00; daily 22:00-23:00"}
    with pytest.raises(UsageError) as caught:
        options_of(one, {"day": "daily 08:00-09:00"})
    assert caught.value.code == "window.unknown"
    assert "'night'" in caught.value.what


async def test_what_can_not_be_ordered_writes_nothing(world: Any) -> None:
    await world.package("app", "1")
    await world.join("pc1")
    async with world.region.db.write() as connection:
        await assignment_rows.put(connection, Assignment("a", "node pc1", has="app"), "ann", 1, new=True)
        kept = await assignment_rows.get(connection, "a")
        with pytest.raises(UsageError) as caught:
            await order(world.jobs, connection, kept, Order("9", ("pc1",)))
        assert caught.value.code == "package.unknown"
        job, made = await order(world.jobs, connection, kept, Order("1", ("pc1",)))
    assert made == [job]
    shown = await world.view.show(job)
    assert (shown["folder"], shown["by"], shown["note"]) == ("desired/a", "ann", "assignment a")
