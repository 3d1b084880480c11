"""Who may connect to the node's own broker."""

from __future__ import annotations

from tests.support.hop import HASH, admitted

from tiercast_gateway.children.enrolment import Enrolment
from tiercast_protocol.node.database import Database
from tiercast_protocol.wire.messages import Admitted, TokenIssued


class FakeBroker:
    def __init__(self) -> None:
        self.users: dict[str, str] = {}
        self.told = 0

    async def set_users(self, users: dict[str, str]) -> None:
        self.users, self.told = users, self.told + 1


def token(id_: str, expires: int = 0) -> TokenIssued:
    return TokenIssued(token_id=id_, password_hash=HASH, parent="parent", expires=expires)


async def test_a_token_lets_its_join_name_in_until_the_node_is_there(db: Database) -> None:
    broker = FakeBroker()
    enrolment = Enrolment(db, broker)
    removed: list[str] = []

    async def on_removed(names: list[str]) -> None:
        removed.extend(names)

    enrolment.on_removed = on_removed
    await enrolment.issue(token("t1", expires=50))
    assert list(broker.users) == ["join-t1"]
    node = admitted("pc", "parent")
    await enrolment.admit(Admitted(**{f: getattr(node, f) for f in node.__struct_fields__} | {"token_id": "t1"}))
    assert sorted(broker.users) == ["join-t1", "pc"]
    assert [user.name for user in enrolment.children()] == ["pc"]
    assert await enrolment.arrived("pc") == "join-t1"
    assert list(broker.users) == ["pc"]
    assert removed == ["join-t1"]
    assert await enrolment.arrived("pc") == ""
    assert await enrolment.arrived("nobody") == ""


async def test_tokens_expire_and_nodes_do_not(db: Database) -> None:
    broker = FakeBroker()
    enrolment = Enrolment(db, broker)
    await enrolment.issue(token("t1", expires=50))
    await enrolment.issue(token("t2", expires=90))
    await enrolment.admit(admitted("pc", "parent"))
    assert await enrolment.prune(50) == ["join-t1"]
    assert sorted(broker.users) == ["join-t2", "pc"]
    assert await enrolment.prune(50) == []


async def test_the_same_again_tells_the_broker_nothing(db: Database) -> None:
    broker = FakeBroker()
    enrolment = Enrolment(db, broker)
    await enrolment.admit(admitted("pc", "parent"))
    await enrolment.admit(admitted("pc", "parent"))
    assert broker.told == 1


async def test_at_start_the_broker_is_told_everything(db: Database) -> None:
    enrolment = Enrolment(db, FakeBroker())
    await enrolment.admit(admitted("pc", "parent"))
    await enrolment.issue(token("t1"))
    broker = FakeBroker()
    again = Enrolment(db, broker)
    await again.load()
    assert sorted(broker.users) == ["join-t1", "pc"]
    assert again.known("pc")
    assert not again.known("stranger")
