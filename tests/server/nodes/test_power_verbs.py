"""Waking by hand: each gateway is asked for its own machines."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_server.nodes.power_verbs import PowerVerbs


class Wakes:
    async def woken(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"node": name, "state": "waking"} for name in names]

    async def listed(self, names: list[str]) -> list[dict[str, Any]]:
        return [{"node": name, "state": "awake"} for name in names]


class Below:
    """The server's own sub-tree, and one gateway that answers."""

    def __init__(self) -> None:
        self.subtree = self
        self.wakes = Wakes()

    async def ask(self, node: str, verb: str, args: dict[str, Any], *, deadline: float) -> list[dict[str, Any]]:
        assert deadline > 0
        if node == "silent":
            raise UsageError(code="node.silent", what="silent did not answer")
        return [{"node": name, "state": verb} for name in args["nodes"]]


def call(*nodes: str) -> Call:
    return Call(verb="v", args={"nodes": list(nodes)}, peer=Peer(1, 1, 1), role="operator", user="ann", cause="")


async def test_each_is_asked_for_its_own(world: Any) -> None:
    for name, role, parent in (
        ("berlin", "gateway", ""),
        ("silent", "gateway", ""),
        ("pc1", "endpoint", ""),
        ("pc2", "endpoint", "berlin"),
        ("pc3", "endpoint", "silent"),
    ):
        await world.join(name, role, parent)
    verbs = PowerVerbs(world.region, Below())  # type: ignore[arg-type]
    rows = await verbs.wake(call("pc1", "pc2", "pc3"))
    assert [(row["node"], row["state"], row["parent"]) for row in rows] == [
        ("pc1", "waking", "server"),
        ("pc2", "node.wake", "berlin"),
        ("pc3", "unknown", "silent"),
    ]
    assert [row["state"] for row in await verbs.list_(call("pc1"))] == ["awake"]
    for names, code in (([], "power.role"), (["berlin"], "power.role"), (["nobody"], "node.unknown")):
        with pytest.raises(UsageError) as caught:
            await verbs.wake(call(*names))
        assert caught.value.code == code
