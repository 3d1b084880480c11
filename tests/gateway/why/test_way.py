"""Questions from below: a node is told of itself and of what is below it, and a child gives no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.hop import FakeAbove, admitted, order_for, parent_node

from tiercast_gateway.subtree import SubTree
from tiercast_gateway.why.verbs import WhyVerbs
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.whyabove import VERB
from tiercast_protocol.wire.envelope import wrap
from tiercast_protocol.wire.messages import Answer, Query

KEY = PrivateKey.generate()


@pytest.fixture
async def top(tmp_path: Path) -> AsyncIterator[SubTree]:
    """A node with the children "mid" (a gateway, "deep" below it) and "pc"."""
    async with parent_node(tmp_path, children=["mid", "pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        await tree.admit(admitted("deep", "mid"))
        await tree.take_order(order_for(KEY, {"pc": b"p" * 32, "deep": b"d" * 32}, root=b"r" * 32), "j1")
        tree.whys.reader = WhyVerbs(tree).below
        yield tree


async def answer(tree: SubTree, asker: str, verb: str = VERB, **args: Any) -> Answer:
    return await tree.whys.answer(asker, wrap("query.v1", Query(verb=verb, args=args), sender=asker))


async def test_a_node_is_told_of_itself_and_of_what_is_below_it(top: SubTree) -> None:
    for asker, target in (("pc", "pc"), ("mid", "deep")):
        found: Any = (await answer(top, asker, job="j1", target=target)).result
        assert found["chain"]
        assert found["job"] == "j1"


@pytest.mark.parametrize(
    ("asker", "verb", "args", "code"),
    [
        ("pc", VERB, {"job": "j1", "target": "deep"}, "target.unknown"),
        ("deep", VERB, {"job": "j1", "target": "pc"}, "target.unknown"),
        ("pc", VERB, {"job": "j9", "target": "pc"}, "job.unknown"),
        ("pc", VERB, {"job": 3}, "argument.invalid"),
        ("pc", "depot.show", {}, "verb.unknown"),
    ],
)
async def test_nobody_is_told_of_others(top: SubTree, asker: str, verb: str, args: dict[str, Any], code: str) -> None:
    found = await answer(top, asker, verb, **args)
    assert found.error["code"] == code
    assert found.result is None


async def test_who_has_nobody_above_asks_nobody(top: SubTree) -> None:
    assert await top.whys.above.ask("j1", "pc") == []
    with pytest.raises(UsageError):
        await WhyVerbs(top).below("pc", "j1", "mid")
