"""Every kind: golden bytes, round trip, older and newer readers, nonsense.

A kind without golden bytes fails and says what to store in `golden/<kind>.hex`; what is stored there never changes.
"""

import random
import typing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.protocol.wire.samples import SAMPLES

from tiercast_protocol.errors import MessageInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.envelope import open_, seal, wrap
from tiercast_protocol.wire.messages import CATALOGUE, EPHEMERAL, KIND_OF, Message, Query, StatusRecord, body_of, sound

GOLDEN = Path(__file__).parent / "golden"
KINDS = sorted(CATALOGUE)

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
SIMPLE = {
    bytes: st.binary(max_size=70),
    str: st.text(max_size=20),
    int: st.integers(-(2**63), 2**64 - 1),
    bool: st.booleans(),
    object: PLAIN,
}


def values_of(type_: typing.Any) -> st.SearchStrategy:
    """Any value of a field's type."""
    if type_ in SIMPLE:
        return SIMPLE[type_]
    origin, args = typing.get_origin(type_), typing.get_args(type_)
    if origin is list:
        return st.lists(values_of(args[0]), max_size=4)
    if origin is tuple:
        return st.tuples(*map(values_of, args))
    if origin is dict:
        return st.dictionaries(values_of(args[0]), values_of(args[1]), max_size=4)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return messages_of(type_)
    raise AssertionError(f"a field of type {type_} needs a strategy")


def messages_of(type_: type[msgspec.Struct]) -> st.SearchStrategy:
    hints = typing.get_type_hints(type_)
    needed, optional = {}, {}
    for field in msgspec.structs.fields(type_):
        (needed if field.required else optional)[field.name] = values_of(hints[field.name])
    return st.fixed_dictionaries(needed, optional=optional).map(lambda fields: type_(**fields))


def test_every_kind_has_a_sample_and_golden_bytes() -> None:
    assert set(SAMPLES) == set(CATALOGUE)
    assert {path.stem for path in GOLDEN.glob("*.v*.hex")} == set(CATALOGUE)
    assert {kind: type(sample) for kind, sample in SAMPLES.items()} == CATALOGUE


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: str) -> None:
    path = GOLDEN / f"{kind}.hex"
    now = codec.encode(SAMPLES[kind])
    assert path.exists(), f"store in {path.name}: {now.hex()}"
    stored = bytes.fromhex(path.read_text())
    assert codec.decode(stored, CATALOGUE[kind]) == SAMPLES[kind], "what older nodes send is not understood"
    assert now == stored, "what older nodes understand is not sent"


@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(messages_of(CATALOGUE[kind]))
    def check(message: Message) -> None:
        envelope = open_(seal(wrap(kind, message, sender="desk-1")))
        assert envelope.kind == kind
        assert body_of(envelope, CATALOGUE[kind]) == message

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_any_bytes(kind: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=80), st.integers(0, 2**32))
    def check(data: bytes, seed: int) -> None:
        chance, sample = random.Random(seed), bytearray(codec.encode(SAMPLES[kind]))
        sample[chance.randrange(len(sample))] = chance.randrange(256)
        for body in (data, bytes(sample), bytes(sample[: chance.randrange(len(sample))])):
            try:
                codec.decode(body, CATALOGUE[kind])
            except MessageInvalid as error:
                assert error.reason  # noqa: PT017 - either is right

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_sender(kind: str) -> None:
    fields = codec.decode_plain(codec.encode(SAMPLES[kind])) | {"a_later_field": {"of": ["any", b"type"]}}
    assert codec.decode(codec.encode(fields), CATALOGUE[kind]) == SAMPLES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_sender(kind: str) -> None:
    type_ = CATALOGUE[kind]
    fields = {field.encode_name: field for field in msgspec.structs.fields(type_)}
    sent = codec.decode_plain(codec.encode(SAMPLES[kind]))
    needed = {name: value for name, value in sent.items() if fields[name].required}
    message = codec.decode(codec.encode(needed), type_)
    for name, field in fields.items():
        if not field.required:
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            assert getattr(message, name) == default
    for name in needed:
        without = {key: value for key, value in needed.items() if key != name}
        with pytest.raises(MessageInvalid):
            codec.decode(codec.encode(without), type_)


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_types(kind: str) -> None:
    sent = codec.decode_plain(codec.encode(SAMPLES[kind]))
    hints = typing.get_type_hints(CATALOGUE[kind])
    for name in sent:
        if hints[name] is object:
            continue
        for wrong in (1.5, [[]], {"x": {}}):
            if wrong == {"x": {}} and typing.get_origin(hints[name]) is dict:
                continue
            with pytest.raises(MessageInvalid):
                codec.decode(codec.encode(sent | {name: wrong}), CATALOGUE[kind])


def test_catalogue() -> None:
    assert all(kind.rpartition(".v")[2].isdigit() for kind in CATALOGUE)
    assert len(KIND_OF) == len(CATALOGUE)
    assert set(CATALOGUE) > EPHEMERAL


@pytest.mark.parametrize("field", ["revision", "attempt", "seq", "at", "done", "total"])
@pytest.mark.parametrize("number", [-1, 1 << 53, 1 << 63, (1 << 64) - 1])
def test_numbers_that_no_database_holds_are_refused(field: str, number: int) -> None:
    """One such record would stop whoever merges it, with everybody's records beside it."""
    record = {"job": "j", "revision": 1, "target": "t", "attempt": 1, "seq": 1, "state": "done", "at": 1, field: number}
    assert not sound(codec.decode(codec.encode(record), StatusRecord))


@pytest.mark.parametrize("field", ["job", "target", "state", "code"])
def test_names_in_a_record_are_short(field: str) -> None:
    record = {"job": "j", "revision": 1, "target": "t", "attempt": 1, "seq": 1, "state": "done", "at": 1}
    assert sound(codec.decode(codec.encode(record), StatusRecord))
    assert not sound(codec.decode(codec.encode(record | {field: "x" * 256}), StatusRecord))


def test_a_record_that_would_not_fit_the_next_message_is_refused() -> None:
    record = StatusRecord(job="j", revision=1, target="t", attempt=1, seq=1, state="done", at=1, receipt=bytes(900_000))
    assert not sound(record)


def test_body_of_names_the_kind() -> None:
    envelope = wrap("query.v1", {"verb": 5}, sender="a")
    with pytest.raises(MessageInvalid, match=r"query\.v1"):
        body_of(envelope, Query)
