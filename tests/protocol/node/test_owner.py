"""The owner's wishes reach the parent; the exception survives a restart and ends by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import child_node, parent_node, until

from tiercast_protocol.errors import ConfigError, UsageError
from tiercast_protocol.node import config
from tiercast_protocol.node.config import Duration, Rate, Size
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.node.owner import ALLOWED, METERED, NOTHING, Owner, TransferSettings


class Upstream:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.metered: Any = None
        self.terms: tuple[int, float, int] | None = None
        self.greeted = 0

    def set_terms(self, segment: int, pause: float, rate: int) -> None:
        self.terms = (segment, pause, rate)

    async def greet(self) -> None:
        self.greeted += 1


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def an_owner(folder: Path, clock: Clock, **settings: Any) -> tuple[Owner, Upstream, Verbs]:
    upstream, verbs = Upstream(), Verbs()
    owner = Owner(TransferSettings(**settings), folder, upstream, clock)  # type: ignore[arg-type] - what it needs
    owner.register(verbs)
    return owner, upstream, verbs


async def call(verbs: Verbs, verb: str, **args: Any) -> Any:
    made = Call(verb=verb, args=args, peer=Peer(pid=1, uid=0, gid=0), role="admin", user="anna", cause="c")
    return await verbs.named(verb).handler(made)  # type: ignore[misc] - none of these streams


async def test_an_exception_survives_a_restart_and_ends_by_itself(tmp_path: Path) -> None:
    clock = Clock()
    owner, upstream, verbs = an_owner(tmp_path, clock, metered=True)
    assert upstream.metered() == METERED
    with pytest.raises(UsageError, match="over"):
        await call(verbs, "transfer.allow", until=999_000)
    shown = await call(verbs, "transfer.allow", until=2_000_000)
    assert (shown["allowed_until"], upstream.metered()) == (2_000_000, ALLOWED)
    again, upstream, verbs = an_owner(tmp_path, clock, metered=True)
    assert again.metered() == ALLOWED
    clock.now = 2000.0
    assert again.metered() == METERED
    clock.now = 1500.0
    assert (await call(verbs, "transfer.forbid"))["allowed_until"] == 0
    assert an_owner(tmp_path, clock)[0].metered() == NOTHING
    del owner
    (tmp_path / "transfer.json").write_text("{")
    assert an_owner(tmp_path, clock)[0].metered() == NOTHING, "a damaged file is no exception"


async def test_the_parent_hears_of_it_at_once(tmp_path: Path) -> None:
    clock = Clock()
    owner, upstream, verbs = an_owner(tmp_path, clock, segment=Size(4096), pause=Duration(2.0), rate=Rate(5000))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(owner.run())
        await until(lambda: upstream.terms == (4096, 2.0, 5000))
        await call(verbs, "transfer.allow", until=2_000_000)
        await until(lambda: upstream.greeted == 1)
        clock.now = 2000.0
        await until(lambda: upstream.greeted == 2)
        running.cancel()


async def test_a_metered_link_is_metered_at_the_parent(tmp_path: Path) -> None:
    clock = Clock()
    async with (
        parent_node(tmp_path, children=["one"]) as parent,
        child_node(tmp_path, "one", parent.broker.children_url) as one,
    ):
        owner = Owner(TransferSettings(metered=True), tmp_path, one.upstream, clock)
        verbs = Verbs()
        owner.register(verbs)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(owner.run())
            await until(lambda: parent.steering.link("one")["metered_now"])
            await call(verbs, "transfer.allow", until=2_000_000)
            await until(lambda: not parent.steering.link("one")["metered_now"])
            await parent.steering.set_link("one", {"metered": True}, [])
            assert not parent.steering.link("one")["metered_now"], "the owner's exception goes before"
            await call(verbs, "transfer.forbid")
            await until(lambda: parent.steering.link("one")["metered_now"])
            await parent.steering.set_link("one", {"metered": False}, [])
            assert not parent.steering.link("one")["metered_now"], "the administrator's exception"
            running.cancel()


def test_wishes_are_checked(tmp_path: Path) -> None:
    for text in ("segment = 5", 'pause = "1ms"', "rate = 5", "metered = 1"):
        with pytest.raises(ConfigError):
            config.parse(text, TransferSettings, tmp_path / "x.toml")
    with pytest.raises(ConfigError, match="pause"):
        config.parse('segment = "4MiB"', TransferSettings, tmp_path / "x.toml").checked(tmp_path / "x.toml")
    good = config.parse('segment = "4MiB"\npause = "2s"\nrate = "2MB/s"', TransferSettings, tmp_path / "x.toml")
    assert good.checked(tmp_path).rate == 2_000_000
