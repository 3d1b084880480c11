"""A question goes down, its answer comes up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.queries import EARLY_BYTES, Queries
from tiercast_protocol.wire.envelope import Envelope, wrap
from tiercast_protocol.wire.messages import Answer, Message


class Pair:
    """Somebody who asks, and a node that answers at once."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.asker = Queries(self.tell)
        self.node = Queries(self.tell)
        self.deaf = deaf

    async def tell(self, node: str, message: Message, expires: int) -> bytes:
        assert expires > 0
        envelope = wrap("query.v1", message, sender="server", to=node)
        if not self.deaf:
            answer = await self.node.answer(envelope)
            self.asker.answered(reply(answer))
        return envelope.id


def reply(answer: Message) -> Envelope:
    return wrap("answer.v1", answer, sender="node", to="server")


async def test_an_answer_that_is_there_before_the_question_was_noted_is_taken() -> None:
    pair = Pair()

    async def status(args: dict[str, Any]) -> object:
        return {"args": args}

    pair.node.add("status", status)
    assert await pair.asker.ask("node", "status", {"limit": 3}) == {"args": {"limit": 3}}


async def test_what_a_node_refuses_is_raised_with_its_name() -> None:
    pair = Pair()

    async def refuse(args: dict[str, Any]) -> object:
        raise UsageError(code="depot.library", what="no", todo="do that")

    pair.node.add("depot.evict", refuse)
    with pytest.raises(UsageError) as caught:
        await pair.asker.ask("node", "depot.evict", {})
    assert (caught.value.code, caught.value.where, caught.value.todo) == ("depot.library", "node", "do that")


async def test_an_unknown_verb_and_a_wrong_argument_are_answers_too() -> None:
    pair = Pair()

    async def broken(args: dict[str, Any]) -> object:
        raise KeyError("package")

    pair.node.add("depot.pin", broken)
    for verb, code in (("no.such", "verb.unknown"), ("depot.pin", "argument.invalid")):
        with pytest.raises(UsageError) as caught:
            await pair.asker.ask("node", verb, {})
        assert caught.value.code == code


async def test_a_node_that_is_silent_is_said_to_be() -> None:
    pair = Pair(deaf=True)
    with pytest.raises(UsageError) as caught:
        await pair.asker.ask("node", "status", {}, deadline=0.01)
    assert caught.value.code == "node.silent"
    assert not pair.asker._asked


async def test_answers_that_nobody_waits_for_are_not_kept() -> None:
    queries = Pair().asker
    for n in range(100):
        queries.answered(reply(Answer(query=bytes([n]) * 16, result="x" * 1000)))
    assert queries.early_bytes == 0


async def test_what_outran_its_question_is_bounded_in_bytes() -> None:
    released = asyncio.Event()

    async def tell(node: str, message: Message, expires: int) -> bytes:
        await released.wait()
        return b"q" * 16

    queries = Queries(tell)
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(queries.ask("node", "status", {}))
        await asyncio.sleep(0)
        queries.answered(reply(Answer(query=b"q" * 16, result=1)))
        for n in range(20):
            queries.answered(reply(Answer(query=bytes([n]) * 16, result="x" * 500_000)))
        assert queries.early_bytes <= EARLY_BYTES
        released.set()
        assert await asking == 1
    assert queries.early_bytes == 0
