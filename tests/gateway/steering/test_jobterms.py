"""Terms of jobs: what a region of a later version says does not stop the job; terms follow the order."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.hop import FakeAbove, admitted, order_for, parent_node

from tiercast_protocol.content.jobs.shape import Shape, sign_shape
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.transfer.policy import JobPolicy
from tiercast_protocol.wire.messages import JobShape

KEY = PrivateKey.generate()


async def test_what_can_not_be_read_goes_on_the_usual_terms(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        await tree.take_order(order_for(KEY, {"pc": b"p" * 32}, root=b"r" * 32, options={"fanout": "telepathy"}))
        assert tree.steering.now.jobs == {"j1": JobPolicy()}
        await tree.take_order(order_for(KEY, {"pc": b"p" * 32}, job="j2", type_="remove"))
        assert set(tree.steering.now.jobs) == {"j1"}, "nothing of a removal travels"


async def test_terms_go_after_an_order_that_waited_for_its_way(tmp_path: Path) -> None:
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        await tree.take_order(order_for(KEY, {"late": b"l" * 32}, root=b"r" * 32))
        shape = Shape(region="test", epoch=1, job="j1", change=1, options={"priority": 9})
        data, signature = sign_shape(shape, KEY)
        await tree.steering.jobs.take(JobShape(shape=data, signature=signature))
        assert await tree.post.pending() == []
        await tree.admit(admitted("late", "top"))
        assert [(m.peer, m.kind) for m in await tree.post.pending()] == [("late", "order.v1"), ("late", "job.shape.v1")]


async def test_the_distribution_time_is_the_orders_and_stays_over_changes(tmp_path: Path) -> None:
    soon = int((time.time() + 3600) * 1000)
    async with parent_node(tmp_path, children=["pc"], key=KEY, name="top", above=FakeAbove()) as tree:
        options = {"distribute_at": soon}
        await tree.take_order(order_for(KEY, {"pc": b"p" * 32}, root=b"r" * 32, options=options))
        for change in (0, 1):
            why = tree.steering.now.why("pc", "j1")
            assert why is not None
            assert why.code == "time.distribute"
            shape = Shape(region="test", epoch=1, job="j1", change=change + 1, options={"priority": 9})
            data, signature = sign_shape(shape, KEY)
            await tree.steering.jobs.take(JobShape(shape=data, signature=signature))
            assert tree.steering.now.jobs["j1"].priority == 9
        assert tree.steering._timed(), "the clock is looked at"
