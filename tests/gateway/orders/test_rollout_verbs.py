"""Rollouts at a gateway's own socket."""

from __future__ import annotations

from typing import Any

from tiercast_gateway.orders.rollout_verbs import RolloutVerbs
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer


class FakeBreakers:
    def all_shown(self) -> list[dict[str, Any]]:
        return [self.shown("r1-ab12")]

    def shown(self, rollout: str) -> dict[str, Any]:
        return {"rollout": rollout, "node": "berlin", "state": "held"}

    async def resume(self, rollout: str) -> dict[str, Any]:
        return {"rollout": rollout, "node": "berlin", "state": "running"}


async def test_each_verb_has_a_role_and_asks_the_breakers() -> None:
    table = RolloutVerbs(FakeBreakers()).table()  # type: ignore[arg-type] - what it needs of them
    assert [(name, role) for name, role, _ in table] == [
        ("rollout.list", "viewer"),
        ("rollout.show", "viewer"),
        ("rollout.resume", "operator"),
    ]
    call = Call("x", {"rollout": "r1-ab12"}, Peer(pid=0, uid=0, gid=0), "operator", "ann", "")
    found = [await handler(call) for _, _, handler in table]
    assert [one if isinstance(one, list) else one["state"] for one in found][1:] == ["held", "running"]
