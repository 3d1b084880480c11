"""Envelopes: golden bytes, relays that change nothing but the hops, limits."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol import PROTOCOL_VERSION
from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.envelope import MAX_HOPS, Envelope, open_, relayed, seal, wrap

GOLDEN = Path(__file__).parent / "golden"
FIELDS: dict[str, object] = {
    "v": 1,
    "kind": "query.v1",
    "id": bytes(range(16)),
    "cause": "job-7",
    "sender": "server",
    "to": "desk-1",
    "expires": 1_700_000_000_000,
    "hops": 2,
    "body": b"\x81\xa4verb\xa6status",
}
ENVELOPE = Envelope(**FIELDS)


def test_golden() -> None:
    stored = bytes.fromhex((GOLDEN / "envelope.hex").read_text())
    assert open_(stored) == ENVELOPE
    assert seal(ENVELOPE) == stored


def test_wrapped() -> None:
    one, two = (
        wrap("query.v1", {"verb": "x"}, sender="a"),
        wrap("query.v1", {"verb": "x"}, sender="a", to="b", cause="c"),
    )
    assert one.id != two.id
    assert (one.cause, one.hops, one.v, one.to, one.expires) == (one.id.hex(), 0, PROTOCOL_VERSION, "", 0)
    assert (two.cause, two.to) == ("c", "b")
    assert open_(seal(two)) == two
    assert open_(memoryview(seal(two))) == two


@given(st.binary(max_size=300), st.text(min_size=1, max_size=20))
def test_a_body_of_an_unknown_kind_goes_on_byte_for_byte(body: bytes, kind: str) -> None:
    envelope = msgspec.structs.replace(ENVELOPE, body=body, kind=kind, hops=0)
    for hops in range(1, MAX_HOPS + 1):
        envelope = open_(seal(relayed(envelope)))
        assert (envelope.body, envelope.kind, envelope.hops) == (body, kind, hops)
    with pytest.raises(MessageInvalid, match="too many relays"):
        relayed(envelope)


def test_a_field_more_is_ignored() -> None:
    assert open_(codec.encode([*FIELDS.values(), "later"])) == ENVELOPE


@pytest.mark.parametrize(
    "change",
    [
        {"v": 0},
        {"v": 256},
        {"v": 9},
        {"kind": ""},
        {"kind": "x" * 65},
        {"id": b""},
        {"id": bytes(17)},
        {"hops": -1},
        {"hops": MAX_HOPS + 1},
        {"to": "x" * 256},
        {"cause": "x" * 256},
        {"body": "text"},
        {"sender": 5},
        {"sender": "x" * 256},
        {"expires": 1 << 63},
        {"expires": -1},
        {"expires": "soon"},
    ],
)
def test_refused(change: dict[str, object]) -> None:
    with pytest.raises(MessageInvalid):
        open_(codec.encode(list((FIELDS | change).values())))


def test_too_short_and_no_list() -> None:
    for value in (list(FIELDS.values())[:-1], FIELDS, [], "x", None):
        with pytest.raises(MessageInvalid):
            open_(codec.encode(value))


def test_versions_beside_ours() -> None:
    later = msgspec.structs.replace(ENVELOPE, v=PROTOCOL_VERSION + 1)
    assert open_(seal(later)) == later
    with pytest.raises(MessageInvalid, match="this node speaks"):
        open_(seal(msgspec.structs.replace(ENVELOPE, v=PROTOCOL_VERSION + 2)))


@settings(max_examples=300)
@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(MessageInvalid):
        open_(data)
