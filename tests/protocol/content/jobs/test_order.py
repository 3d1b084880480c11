"""Orders: what was signed is what counts, to the last bit, for the named targets only."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.order import DOMAIN, TYPES, Order, check_target, open_order, sign_order
from tiercast_protocol.content.sealed import merkle
from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.messages import OrderTarget

KEY = PrivateKey(bytes(range(32)))
NODES = [(f"node{n}", digest_of(b"key %d" % n), 1 + n % 2) for n in range(5)]
TREE = merkle.Tree([merkle.leaf_of(*node) for node in NODES])
ORDER = Order(
    region="lab",
    epoch=1,
    job="job-7",
    revision=1,
    type="install",
    package="editor",
    version="1.0",
    package_revision=1,
    root=digest_of(b"root"),
    issued=1_700_000_000_000,
    expires=1_700_000_600_000,
    targets_root=TREE.root,
    target_count=5,
    options={"note": "hello", "force": True, "tries": 3},
)
SIGNED, SIGNATURE = sign_order(ORDER, KEY)


def test_round_trip() -> None:
    assert open_order(SIGNED, SIGNATURE, KEY.public) == ORDER
    assert sign_order(ORDER, KEY) == (SIGNED, SIGNATURE)


def test_golden() -> None:
    # an order signed today is read by every later release
    assert digest_of(SIGNED).hex() == "372698d16052c0a69bcce3f4e8c38250e68e15253f0ffc7d9e32b9e19cc11055"
    # and so is one from before there was `must`: the same map with a shorter head
    before = msgspec.msgpack.encode(msgspec.msgpack.decode(SIGNED))
    assert digest_of(before).hex() == "83f0e6749cf90fec87dd076dfadcd045fc3ff6daabeda081efb2cdc98de283c2"
    assert open_order(before, KEY.sign(DOMAIN, before), KEY.public) == ORDER


@settings(max_examples=200)
@given(st.integers(0, len(SIGNED) * 8 - 1))
def test_every_bit_counts(bit: int) -> None:
    changed = bytearray(SIGNED)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        open_order(bytes(changed), SIGNATURE, KEY.public)


@given(st.integers(0, 511))
def test_every_bit_of_the_signature_counts(bit: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        open_order(SIGNED, bytes(changed), KEY.public)


def test_another_key_or_purpose() -> None:
    with pytest.raises(SignatureInvalid):
        open_order(SIGNED, SIGNATURE, PrivateKey.generate().public)
    with pytest.raises(SignatureInvalid):
        open_order(SIGNED, KEY.sign("tiercast receipt 1", SIGNED), KEY.public)


def test_fields_of_a_later_release_are_ignored() -> None:
    later = msgspec.msgpack.encode(msgspec.msgpack.decode(SIGNED) | {"wave": 2})
    assert open_order(later, KEY.sign(DOMAIN, later), KEY.public) == ORDER


def test_a_type_of_a_later_release_is_for_the_node_to_refuse() -> None:
    later = msgspec.structs.replace(ORDER, type="teleport", must=["destination"])
    assert open_order(*sign_order(later, KEY), KEY.public) == later


def test_signed_nonsense() -> None:
    for data in (b"", b"nonsense", codec.encode({"region": "lab"}), codec.encode([1, 2])):
        with pytest.raises(MessageInvalid, match="order"):
            open_order(data, KEY.sign(DOMAIN, data), KEY.public)


@pytest.mark.parametrize(
    "change",
    [
        {"type": "format disk"},
        {"region": ""},
        {"job": "../x"},
        {"root": b""},
        {"root": b"x" * 31},
        {"targets_root": b""},
        {"target_count": 0},
        {"revision": 0},
        {"epoch": -1},
        {"issued": 0},
        {"expires": 1},
        {"package": ""},
        {"version": "a b"},
        {"package_revision": 0},
        {"options": {f"o{n}": n for n in range(65)}},
        {"must": [f"o{n}" for n in range(65)]},
    ],
)
def test_no_order(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        msgspec.structs.replace(ORDER, **change)
    data = codec.encode(msgspec.structs.asdict(ORDER) | change)
    with pytest.raises(MessageInvalid):
        open_order(data, KEY.sign(DOMAIN, data), KEY.public)


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_types(type_: str) -> None:
    order = msgspec.structs.replace(ORDER, type=type_)
    assert open_order(*sign_order(order, KEY), KEY.public).type == type_


def test_a_cancel_names_a_job_alone() -> None:
    cancel = msgspec.structs.replace(
        ORDER, type="cancel", package="", version="", package_revision=0, root=b"", revision=2
    )
    assert open_order(*sign_order(cancel, KEY), KEY.public) == cancel


@pytest.mark.parametrize("index", range(5))
def test_targets(index: int) -> None:
    name, key, generation = NODES[index]
    target = OrderTarget(node=name, index=index, proof=TREE.proof(index))
    check_target(ORDER, target, key, generation)
    other_name, other_key, _ = NODES[(index + 1) % 5]
    for bad, with_key, of_generation in (
        (target, other_key, generation),
        (target, key, generation + 1),
        (msgspec.structs.replace(target, node=other_name), key, generation),
        (msgspec.structs.replace(target, node="stranger"), key, generation),
        (msgspec.structs.replace(target, index=(index + 1) % 5), key, generation),
        (msgspec.structs.replace(target, index=-1), key, generation),
        (msgspec.structs.replace(target, proof=[]), key, generation),
        (msgspec.structs.replace(target, proof=TREE.proof((index + 1) % 5)), key, generation),
    ):
        with pytest.raises(SignatureInvalid):
            check_target(ORDER, bad, with_key, of_generation)
