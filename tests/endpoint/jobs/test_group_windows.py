"""The windows of a machine's groups: who may say them, which stand, and that all of them hold."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tiercast_endpoint.jobs import group_windows
from tiercast_endpoint.jobs.gate import Gate
from tiercast_endpoint.jobs.group_windows import GroupWindows
from tiercast_endpoint.jobs.orders import Identity
from tiercast_protocol.content.jobs.groupwindows import GroupWindows as Said
from tiercast_protocol.content.jobs.groupwindows import sign_windows
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.node.database import Database
from tiercast_protocol.transfer import calendar
from tiercast_protocol.wire.site import WindowsTold

KEY, OWN = PrivateKey.generate(), PrivateKey.generate()
ME = Identity("r", KEY.public, "pc", OWN.public, 2)
NIGHT, EARLY = ("sales", "daily 22:00-05:00"), ("kiosks", "daily 04:00-06:00")


def told(issued: int, *windows: tuple[str, str], key: PrivateKey = KEY, node: str = "pc", **more: int) -> WindowsTold:
    generation = more.get("generation", 2)
    said = Said(region="r", node=node, generation=generation, issued=issued, windows=list(windows))
    data, signature = sign_windows(said, key)
    return WindowsTold(data=data, signature=signature)


async def test_the_last_word_of_the_region_stands_and_is_kept(tmp_path: Path) -> None:
    acted: list[int] = []
    async with Database.open(tmp_path / "a.db", [(1, group_windows.SCHEMA)]) as db:
        held = GroupWindows(db, ME, lambda: acted.append(1))
        await held.take(told(5, NIGHT, EARLY))
        await held.take(told(4))
        assert held.shown() == [{"group": name, "window": text} for name, text in (NIGHT, EARLY)]
        for wrong in (told(9, key=OWN), told(9, node="pd"), told(9, generation=1)):
            with pytest.raises(SignatureInvalid):
                await held.take(wrong)
        with pytest.raises(MessageInvalid):
            await held.take(told(9, ("sales", "whenever")))
        assert acted == [1]
    async with Database.open(tmp_path / "a.db", [(1, group_windows.SCHEMA)]) as db:
        again = GroupWindows(db, ME)
        await again.load()
        assert again.windows == held.windows
        await again.take(told(6))
        assert again.windows == ()


def at(hour: int) -> int:
    return int(datetime(2026, 3, 3, hour, 30, tzinfo=UTC).timestamp() * 1000)


def test_all_windows_hold_together_and_the_shut_one_is_named() -> None:
    groups = tuple((name, calendar.parse(text)) for name, text in (NIGHT, EARLY))
    gate = Gate(groups=groups, zone=UTC)
    assert gate.before_installation(at(4)) is None
    reason = gate.before_installation(at(23))
    assert reason is not None
    assert (reason.code, reason.get("window")) == ("window.shut", "daily 04:00-06:00 (group kiosks)")
    assert gate.before_installation(at(5)) is not None
    assert gate.closes(at(4)) == at(4) + 30 * 60_000
    owner = Gate(groups=groups, machine=calendar.parse("daily 12:00-13:00"), zone=UTC)
    assert owner.before_installation(at(4)) is not None
