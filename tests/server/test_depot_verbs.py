"""Status and depots: here, or asked of a node below."""

from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.messages import Admitted
from tiercast_server.depot_verbs import DepotVerbs
from tiercast_server.packages import cabinet_rights, cabinets


@pytest.fixture
async def verbs(rooted: Any, monkeypatch: pytest.MonkeyPatch) -> DepotVerbs:
    """Two nodes stand in the database: the gateway gw, which answers, and the invited pc1."""
    await rooted.parts.enrolment.invite("pc1", "endpoint", "", 60, url="mqtt://h:1")
    await rooted.parts.enrolment.invite("gw", "gateway", "", 60, url="mqtt://h:1")
    async with rooted.region.db.write() as connection:
        await connection.exec_driver_sql("update nodes set state = 'joined' where name = 'gw'")
    node = Admitted(
        name="gw", role="gateway", parent="server", public_key=bytes(32), password_hash="$7$1$x$y", generation=1
    )
    await rooted.parts.below.admit(node)
    answers = {
        "status": {"name": "gw"},
        "depot.show": {"chunks": 1, "packages": [{"name": "app", "version": "1", "held": 3, "total": 3}]},
        "depot.evict": {"chunks": 2, "bytes": 7, "freed": 7},
        "depot.keep": {"keep_until": 5},
        "depot.pin": {"pinned": True},
        "outbox.list": [],
        "ledger.show": {"node": "gw", "rows": []},
    }

    async def ask(node: str, verb: str, args: dict[str, Any], *, deadline: float) -> Any:
        assert node == "gw"
        assert "node" not in args
        return answers[verb]

    monkeypatch.setattr(rooted.parts.below, "ask", ask)
    return DepotVerbs(rooted.region, rooted.parts.below, rooted.library)


async def test_here(verbs: DepotVerbs, rooted: Any, call: Any, build_package: Any) -> None:
    root, chunks = build_package("app", "1", {"a": b"1"})
    await rooted.library.keep(chunks)
    await rooted.library.register(root, "main", "t")
    assert (await verbs.status(call("status")))["name"] == "server"
    shown = await verbs.show(call("depot.show", node="server"))
    assert (shown["chunks"], shown["packages"][0]["name"]) == (3, "app")
    for dry_run in (True, False):
        gone = await verbs.evict(call("depot.evict", dry_run=dry_run))
        assert (gone["chunks"], gone["freed"]) == (0, 0)
        assert gone["kept"] == {"a registered package": shown["bytes"]}
    assert await verbs.outbox(call("outbox.list")) == []
    shown = await verbs.ledger(call("ledger.show"))
    assert (shown["node"], shown["links"]) == ("server", [])
    assert (await verbs.ledger(call("ledger.check")))["balanced"]
    with pytest.raises(UsageError) as caught:
        await verbs.pin(call("depot.pin", package="app"))
    assert caught.value.code == "depot.library"


async def test_below(verbs: DepotVerbs, call: Any) -> None:
    assert await verbs.ledger(call("ledger.show", node="gw")) == {"node": "gw", "rows": []}
    assert await verbs.status(call("status", node="gw")) == {"name": "gw"}
    assert (await verbs.show(call("depot.show", node="gw")))["packages"][0]["name"] == "app"
    assert (await verbs.evict(call("depot.evict", node="gw")))["freed"] == 7
    assert await verbs.pin(call("depot.pin", node="gw", package="app")) == {"pinned": True}
    assert await verbs.keep(call("depot.keep", node="gw", package="app", seconds=5)) == {"keep_until": 5}


async def test_whom_nobody_can_ask(verbs: DepotVerbs, call: Any) -> None:
    for node, code in (("nobody", "node.unknown"), ("pc1", "node.not-joined")):
        with pytest.raises(UsageError) as caught:
            await verbs.status(call("status", node=node))
        assert caught.value.code == code


async def test_an_endpoint_has_a_status_but_no_depot(rooted: Any, verbs: DepotVerbs, call: Any) -> None:
    async with rooted.region.db.write() as connection:
        await connection.exec_driver_sql("update nodes set role = 'endpoint' where name = 'gw'")
    assert await verbs.status(call("status", node="gw")) == {"name": "gw"}
    with pytest.raises(UsageError, match="is an endpoint"):
        await verbs.show(call("depot.show", node="gw"))


async def test_no_depot_tells_what_its_reader_may_not_read(verbs: DepotVerbs, rooted: Any, build_package: Any) -> None:
    root, chunks = build_package("app", "1", {"a": b"1"})
    await rooted.library.keep(chunks)
    await cabinets.add(rooted.region, "tools", "")
    await rooted.library.register(root, "tools", "t")
    await cabinet_rights.set_rights(rooted.region, "tools", ["ann"], ["ann"])

    def asks(user: str, verb: str, **args: Any) -> Call:
        return Call(verb=verb, args=args, peer=Peer(pid=1, uid=7, gid=7), role="operator", user=user, cause="c")

    for node in ("", "gw"):
        assert (await verbs.show(asks("bob", "depot.show", node=node)))["packages"] == []
        assert len((await verbs.show(asks("ann", "depot.show", node=node)))["packages"]) == 1
        for verb, handler in (("depot.pin", verbs.pin), ("depot.members", verbs.members), ("depot.audit", verbs.audit)):
            if node or verb != "depot.pin":
                with pytest.raises(UsageError) as caught:
                    await handler(asks("bob", verb, node=node, package="app"))
                assert caught.value.code == "cabinet.denied"
    assert await verbs.pin(asks("ann", "depot.pin", node="gw", package="app")) == {"pinned": True}
    assert await verbs.pin(asks("bob", "depot.pin", node="gw", package="of-the-site")) == {"pinned": True}
