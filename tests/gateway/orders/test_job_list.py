"""The list of jobs at a gateway: one row a job, its state, and the server's filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import FakeAbove, order_for, parent_node

from tiercast_gateway.orders.job_list import Wanted, closing, find, wanted_of
from tiercast_gateway.subtree import SubTree
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call
from tiercast_protocol.node.kernel import Peer
from tiercast_protocol.wire.messages import Status, StatusRecord

KEY = PrivateKey.generate()


def asked(**args: Any) -> Wanted:
    return wanted_of(Call("job.list", args, Peer(pid=0, uid=0, gid=0), "viewer", "ann", ""), "berlin")


async def listed(tree: SubTree, limit: int = 50, **args: Any) -> list[str]:
    wanted = asked(**args)
    return [row["job"] for row in await tree.db.read(lambda c: find(c, wanted, limit))]


async def test_every_filter_narrows_and_the_newest_come_first(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["a", "b"], key=KEY, name="berlin", above=FakeAbove()) as tree:
        for job, names, more in (
            ("j2-aa", "ab", {"root": b"r" * 32}),
            ("j10-bb", "a", {"type_": "remove", "package": "other"}),
            ("j3-cc", "b", {"root": b"r" * 32}),
        ):
            await tree.take_order(order_for(KEY, dict.fromkeys(names, b"k" * 32), job=job, **more), job)
        for target, state in (("a", "done"), ("b", "failed")):
            said = StatusRecord(job="j2-aa", revision=1, target=target, attempt=1, seq=9, state=state, at=1)
            await tree.statuses.take(target, Status(records=[said]))
        await tree.orders.settle({"j2-aa"})
        cancel = order_for(KEY, {"b": b"k" * 32}, job="j3-cc", type_="cancel", revision=2)
        await tree.take_order(cancel, "j3-cc")
        assert await listed(tree) == ["j10-bb", "j3-cc", "j2-aa"]
        assert await listed(tree, 1) == ["j10-bb"]
        assert await listed(tree, states=["failed"]) == ["j2-aa"]
        assert await listed(tree, states=["open", "cancelling"]) == ["j10-bb", "j3-cc"]
        assert await listed(tree, states=["cancelling"]) == ["j3-cc"]
        assert await listed(tree, types=["remove"]) == ["j10-bb"]
        assert await listed(tree, package="tool=1.0", target="a") == ["j2-aa"]
        assert await listed(tree, package="tool=9") == []
        assert await listed(tree, search="CC") == ["j3-cc"]
        assert await listed(tree, since=1 << 50) == []
        wanted = asked()
        row = (await tree.db.read(lambda c: find(c, wanted, 9)))[-1]
        assert (row["counts"], row["targets"], row["state"]) == ({"done": 1, "failed": 1}, 2, "failed")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"folder": "sites"}, "filter.unknown"),
        ({"states": ["closed"]}, "state.unknown"),
        ({"types": ["instal"]}, "type.unknown"),
    ],
)
def test_what_can_not_be_chosen_by_is_an_error(args: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(**args)
    assert caught.value.code == code


def test_the_worst_end_wins_and_who_said_nothing_expired() -> None:
    assert closing({"done": 3, "cancelled": 1, "rejected": 1}) == "failed"
    assert closing({"done": 3, "fetching": 1}) == "expired"
    assert [closing({"done": 1, "cancelled": 1}), closing({"done": 1})] == ["cancelled", "done"]
