"""The informer of an agent: its settings and this system."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from tiercast_endpoint.facts import informing, inventory, lists
from tiercast_endpoint.jobs import journal
from tiercast_endpoint.settings import InventorySettings, Settings
from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.node.database import Database
from tiercast_protocol.node.joined import Enrolled
from tiercast_protocol.node.post import Post


async def test_it_reads_what_the_settings_say(tmp_path: Path) -> None:
    heard: dict[str, Any] = {}

    class Outbox:
        def on(self, kind: str, handler: Any) -> None:
            heard[kind] = handler

    schema = [
        (1, Post.SCHEMA),
        (2, journal.SCHEMA + holdings.SCHEMA + holdings.DIFFERS),
        (3, inventory.SCHEMA),
        (4, lists.SCHEMA),
    ]
    settings = Settings(
        install_root=tmp_path, inventory=InventorySettings(software=(), wake_mac="02:00:00:00:00:07"), labels={"a": "b"}
    )
    (tmp_path / "facts.d").mkdir()
    program = tmp_path / "facts.d" / "rack"
    program.write_text("#!/bin/sh\necho unit=4\n", "utf-8")
    program.chmod(0o755)
    me = Enrolled("pc", "endpoint", "r", "berlin", "server", 1, "mqtt://h", "secret", PrivateKey.generate())
    async with Database.open(tmp_path / "agent.db", schema) as db:
        ways = cast("Any", (Outbox(), None))
        informer = informing.made(db, me, tmp_path, settings, ways, lambda _name: True, lambda: 5)
        facts = await informer.now()
        assert (facts.custom, facts.labels) == ({"rack.unit": 4}, {"a": "b"})
        assert "02:00:00:00:00:07" in facts.networks
        assert await informer.software() == {}
    assert set(heard) == {"groups.told.v1", "inventory.ask.v1"}
