"""One hop: both connections, the greeting, the farewell; what travels over it stands in test_upstream.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.hop import REGION, parent_node, until

from tiercast_protocol.node import hop as hop_module
from tiercast_protocol.node.hop import Caller, Hop, Parent
from tiercast_protocol.wire.messages import Hello, TokenIssued


class Heard:
    """Remembers what the hop told."""

    def __init__(self) -> None:
        self.up = self.down = self.renewed = 0
        self.messages: list[bytes] = []
        self.refused: list[tuple[str, float]] = []

    async def hop_up(self, hop: Hop) -> None:
        assert hop.connected
        self.up += 1

    async def hop_down(self, hop: Hop) -> None:
        assert not hop.connected
        self.down += 1

    def lane_renewed(self) -> None:
        self.renewed += 1

    def path_changed(self) -> None:
        self.renewed += 1

    async def hop_refused(self, hop: Hop, reason: str, wait: float) -> None:
        assert not hop.connected
        self.refused.append((reason, wait))

    def chunks_absent(self, digests: tuple[bytes, ...], reason: str) -> None:
        raise AssertionError(f"nothing was wanted: {digests!r} {reason}")

    async def message_arrived(self, hop: Hop, payload: bytes) -> None:
        assert hop.parent.name == "parent"
        self.messages.append(payload)

    def frame_arrived(self, view: memoryview) -> None:
        raise AssertionError(f"nothing was wanted: {len(view)} bytes")


async def test_a_parent_that_is_dead_behind_a_living_broker_is_away_until_it_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hop_module, "PULSE_SECONDS", 0.1)
    async with parent_node(tmp_path, children=["one"]) as parent:
        heard = Heard()
        caller = Caller("one", REGION, ("one", "secret"), b"12345678", lambda: Hello(boot=b"12345678"))
        hop = Hop(Parent("parent", parent.broker.children_url), caller, heard)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(hop.run())
            await until(lambda: parent.children.online("one") and heard.up == 1)
            transmit, answers = parent.downlink.transmit, []

            async def counted(child: str, payload: bytes) -> None:
                answers.append(payload)
                await transmit(child, payload)

            monkeypatch.setattr(parent.downlink, "transmit", counted)
            await until(lambda: len(answers) > 5)
            assert (heard.up, heard.down) == (1, 0)  # who answers stays

            async def dead(child: str, payload: bytes) -> None:
                return

            monkeypatch.setattr(parent.downlink, "transmit", dead)
            await until(lambda: heard.down == 1)
            assert hop.control.connected
            monkeypatch.setattr(parent.downlink, "transmit", transmit)
            await until(lambda: heard.up == 2)
            running.cancel()


async def test_a_hop_comes_says_hello_hears_and_says_goodbye(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["one"]) as parent:
        heard = Heard()
        caller = Caller("one", REGION, ("one", "secret"), b"12345678", lambda: Hello(boot=b"12345678", free=7))
        hop = Hop(Parent("parent", parent.broker.children_url), caller, heard, clean=True)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(hop.run())
            await until(lambda: parent.children.online("one") and heard.up == 1)
            assert parent.children.get("one").free == 7
            await until(lambda: hop.groups.epoch == parent.children.get("one").lane)
            await parent.post.send("one", TokenIssued(token_id="t", password_hash="h", parent="one", expires=0))
            await until(lambda: len(heard.messages) > 0)
            running.cancel()
        await until(lambda: not parent.children.online("one"))
        assert heard.down == 1
