"""Questions about all inventories: by target, by condition, and both."""

from __future__ import annotations

from typing import Any

from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.kernel import Peer
from tiercast_server.inventories.questions import Questions


async def test_who_is_counted(world: Any) -> None:
    for name, cpus in (("pc1", 1), ("pc2", 4), ("pc3", 4)):
        await world.join(name)
        await world.says(name, cpus=cpus, packages={"editor": str(cpus)})
    await world.join("pc4")
    verbs = Verbs()
    Questions(world.region, world.targeting).register(verbs)

    async def ask(verb: str, **args: Any) -> Any:
        call = Call(verb=verb, args=args, peer=Peer(1, 1, 1), role="viewer", user="ann", cause="")
        handler: Any = verbs.named(f"inventory.{verb}").handler
        return await handler(call)

    assert await ask("count") == {"machines": 3, "of": 3, "unknown": {}}
    assert (await ask("count", where="cpus > 1", target="not node pc3"))["machines"] == 1
    assert (await ask("names", where="cpus > 1"))["nodes"] == ["pc2", "pc3"]
    found = await ask("tally", by='packages["editor"]', where="cpus > 0")
    assert found["groups"] == [{"value": "4", "machines": 2}, {"value": "1", "machines": 1}]
    found = await ask("tally", by="cpus", target="where (cpus > 1)")
    assert (found["machines"], found["unknown"]) == (2, {"inventory": 1})
    await world.says("pc1", cpus=2)
    assert [row["fact"] for row in await ask("history", node="pc1", fact="c*")] == ["cpus"]
