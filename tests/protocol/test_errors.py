"""Errors carry fields, say what and where and what to do, and tell whose fault it was."""

import pytest

from tiercast_protocol.errors import (
    BrokerLost,
    ChunkCorrupt,
    ChunkMissing,
    ConfigError,
    MessageInvalid,
    Mistake,
    ProtocolError,
    SignatureInvalid,
    StateError,
    StoreFull,
    TiercastError,
    UsageError,
)

DIGEST = bytes(range(32))
ALL = [
    (MessageInvalid("too long", "order.v1"), "invalid message order.v1: too long"),
    (MessageInvalid("too long"), "invalid message: too long"),
    (SignatureInvalid("order", "other key"), "order is not what its signer signed: other key"),
    (ChunkMissing(DIGEST), "chunk 0001020304050607 is not held here"),
    (ChunkCorrupt(DIGEST, "torn"), "chunk 0001020304050607 is damaged: torn"),
    (StoreFull(10, 5, "quota"), "no room for 10 bytes at quota: 5 bytes are free"),
    (BrokerLost("mqtt://a", "refused"), "broker mqtt://a is not reachable: refused"),
    (StateError("/x", "is locked", "Stop the other."), "/x: is locked. Stop the other."),
    (UsageError("a.b", "no such job"), "no such job"),
    (UsageError("a.b", "no such job", "job-7", "List them."), "no such job (job-7)\n  List them."),
]


@pytest.mark.parametrize(("error", "text"), ALL, ids=lambda value: type(value).__name__)
def test_texts(error: TiercastError, text: str) -> None:
    assert isinstance(error, TiercastError)
    assert str(error) == text


def test_whose_fault() -> None:
    assert issubclass(MessageInvalid, ProtocolError)
    assert issubclass(SignatureInvalid, ProtocolError)
    assert issubclass(ConfigError, UsageError)
    for ours in (ChunkMissing, ChunkCorrupt, StoreFull, BrokerLost, StateError, UsageError):
        assert not issubclass(ours, ProtocolError)


def test_all_mistakes_of_a_file() -> None:
    mistakes = (Mistake("a.b", "is 5", "a text"), Mistake("c", "missing", "a path"))
    error = ConfigError("/etc/x.toml", mistakes)
    assert error.mistakes == mistakes
    assert error.code == "config.invalid"
    assert "2 mistakes in /etc/x.toml" in str(error)
    assert "a.b: is 5; expected a text" in str(error)
    assert "c: missing; expected a path" in str(error)
    assert error.todo
    assert "1 mistake in" in str(ConfigError("x", mistakes[:1]))


def test_fields_can_be_read() -> None:
    error = UsageError("a.b", "what", "where", "todo")
    assert (error.code, error.what, error.where, error.todo) == ("a.b", "what", "where", "todo")
