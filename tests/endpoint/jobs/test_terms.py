"""What an agent hears of how its jobs travel."""

from __future__ import annotations

import pytest
from tests.support.hop import order_for

from tiercast_endpoint.jobs.terms import MOST_JOBS, Terms
from tiercast_protocol.content.jobs.order import Order, open_order
from tiercast_protocol.content.jobs.shape import Shape, sign_shape
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.transfer.policy import JobPolicy
from tiercast_protocol.wire.messages import JobShape

KEY = PrivateKey.generate()


def order(job: str = "j1", **options: str | int | bool) -> Order:
    bundle = order_for(KEY, {"pc": b"p" * 32}, job=job, root=b"r" * 32, options=options)
    return open_order(bundle.order, bundle.signature, KEY.public)


def shape(change: int, region: str = "test", key: PrivateKey = KEY, **options: str | int | bool) -> JobShape:
    data, signature = sign_shape(Shape(region=region, epoch=1, job="j1", change=change, options=options), key)
    return JobShape(shape=data, signature=signature)


def test_the_newest_terms_stand() -> None:
    told: list[tuple[str, JobPolicy | None]] = []
    terms = Terms("test", KEY.public, lambda job, policy: told.append((job, policy)))
    terms.ordered(order(priority=7))
    terms.changed(shape(2, priority=9))
    terms.changed(shape(1, priority=1))
    terms.ordered(order(priority=7, shape=1))
    terms.changed(shape(3, region="elsewhere"))
    assert [policy.priority for _, policy in told if policy] == [7, 9]
    with pytest.raises(SignatureInvalid):
        terms.changed(shape(4, key=PrivateKey.generate()))
    terms.ordered(order("j2", priority=77))
    assert told[-1] == ("j2", JobPolicy()), "what can't be read is usual"


def test_it_remembers_a_bounded_number() -> None:
    known: set[str] = set()
    terms = Terms("test", KEY.public, lambda job, policy: known.add(job) if policy else known.discard(job))
    for number in range(MOST_JOBS + 20):
        terms.ordered(order(f"j{number}"))
    assert len(known) == MOST_JOBS
