"""Whatever was signed by an earlier release is read by this one, and signed by it to the same bytes.

`golden.hex` holds what was signed, a line each: what it is, its bytes, the signature.  A line never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tiercast_protocol.content.facts.inventory import Facts, Inventory, open_inventory, sign_inventory
from tiercast_protocol.content.jobs import breaker, groupwindows, regrouped, shape
from tiercast_protocol.content.jobs.order import Order, open_order, sign_order
from tiercast_protocol.content.jobs.receipt import ProgramResult, Receipt, open_receipt, sign_receipt
from tiercast_protocol.content.jobs.vouching import Voucher, open_voucher, sign_voucher
from tiercast_protocol.content.trust import parents
from tiercast_protocol.content.trust.credential import Credential, open_credential, sign_credential
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.content.trust.signed import opened, signed
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire import codec

KEY = PrivateKey(bytes(range(32)))
AT = 1_700_000_000_000
GOLDEN = {
    what: (bytes.fromhex(data), bytes.fromhex(signature))
    for what, data, signature in map(
        str.split, Path(__file__).with_name("golden.hex").read_text(encoding="ascii").splitlines()
    )
}


class Kind(NamedTuple):
    """One kind of signed bytes: a value of it, and how it is signed and opened."""

    value: Any
    sign: Callable[[Any, PrivateKey], tuple[bytes, bytes]]
    open: Callable[[bytes, bytes, bytes], Any]


def _open_voucher(data: bytes, signature: bytes, _key: bytes) -> Voucher:
    return open_voucher(data, signature)  # it names its key itself


FACTS = Facts(
    name="pc",
    os="linux",
    distribution="debian",
    version="12",
    kernel="6.1.0-18-amd64",
    architecture="x86_64",
    cpus=4,
    memory=1 << 33,
    disk_free=1 << 34,
    disk_total=1 << 35,
    python="3.11.2",
    agent="1.0.0",
)
HOME = parents.Candidate(name="site", url="mqtts://site:8883")
KINDS: dict[str, Kind] = {
    "inventory": Kind(
        Inventory(region="r", node="pc", generation=1, seq=2, at=AT, facts=FACTS, groups=["blue"]),
        sign_inventory,
        open_inventory,
    ),
    "shape": Kind(
        shape.Shape(region="r", epoch=1, job="j1", change=2, options={"priority": 9}),
        shape.sign_shape,
        shape.open_shape,
    ),
    "order": Kind(
        Order(
            region="r",
            epoch=1,
            job="j1",
            revision=2,
            type="install",
            package="vim",
            version="9.1",
            package_revision=1,
            root=bytes(32),
            issued=AT,
            expires=AT + 1,
            targets_root=b"t" * 32,
            target_count=3,
            options={"window": "daily 22:00-06:00"},
            must=["window"],
        ),
        sign_order,
        open_order,
    ),
    "receipt": Kind(
        Receipt(
            job="j1",
            revision=2,
            attempt=1,
            seq=7,
            node="pc",
            generation=1,
            state="done",
            code="",
            detail="",
            started=AT,
            finished=AT + 5,
            package="vim",
            version="9.1",
            root=bytes(32),
            programs=[ProgramResult(argv=["/bin/true"], exit=0, timed_out=False, seconds=0.5, output="")],
        ),
        sign_receipt,
        open_receipt,
    ),
    "voucher": Kind(
        Voucher(
            region="r",
            job="j1",
            revision=2,
            node="pc",
            public_key=b"k" * 32,
            generation=1,
            by="site",
            by_key=KEY.public,
            by_generation=1,
            at=AT,
            windows=[("blue", "daily 22:00-06:00")],
        ),
        sign_voucher,
        _open_voucher,
    ),
    "trip": Kind(
        breaker.Trip(
            region="r", node="site", generation=1, rollout="o1", seq=3, at=AT, shut=True, bad=2, total=9, limit="2"
        ),
        breaker.sign_trip,
        breaker.open_trip,
    ),
    "again": Kind(breaker.Again(region="r", epoch=1, rollout="o1", again=2), breaker.sign_again, breaker.open_again),
    "windows": Kind(
        groupwindows.GroupWindows(
            region="r", node="pc", generation=1, issued=AT, windows=[("blue", "daily 22:00-06:00")]
        ),
        groupwindows.sign_windows,
        groupwindows.open_windows,
    ),
    "regrouped": Kind(
        regrouped.Regrouped(region="r", job="j1", at=AT, expires=AT + 1, definition='{"target":"group(blue)"}'),
        regrouped.sign_regrouped,
        regrouped.open_regrouped,
    ),
    "parents": Kind(
        parents.Parents(region="r", node="pc", generation=1, issued=AT, home=HOME, candidates=[HOME]),
        parents.sign_parents,
        parents.open_parents,
    ),
    "placing": Kind(
        parents.Placing(region="r", node="pc", generation=1, parent="site", seq=2, at=AT, reason="home answered"),
        parents.sign_placing,
        parents.open_placing,
    ),
    "credential": Kind(
        Credential(
            region="r",
            name="pc",
            role="endpoint",
            parent="site",
            public_key=b"k" * 32,
            generation=1,
            issued=AT,
            server="top",
        ),
        sign_credential,
        open_credential,
    ),
}


@pytest.mark.parametrize("what", KINDS)
def test_what_an_earlier_release_signed_is_read_and_signed_alike(what: str) -> None:
    kind, (data, signature) = KINDS[what], GOLDEN[what]
    assert kind.open(data, signature, KEY.public) == kind.value
    assert kind.sign(kind.value, KEY) == (data, signature)


@pytest.mark.parametrize("what", KINDS)
def test_no_kind_is_read_from_the_signature_of_another(what: str) -> None:
    kind = KINDS[what]
    for other, (data, signature) in GOLDEN.items():
        if other != what:
            # a voucher names its key itself, so it is read before it is proved
            with pytest.raises(MessageInvalid if what == "voucher" else SignatureInvalid):
                kind.open(data, signature, KEY.public)


class Note(msgspec.Struct, frozen=True):
    """Something to sign."""

    text: str


def test_the_signature_is_proved_before_a_byte_is_read() -> None:
    data, signature = signed(Note("hello"), "tiercast note 1", KEY)
    assert opened(Note, "tiercast note 1", data, signature, KEY.public, "note") == Note("hello")
    for wrong in ((data[:-1], signature, KEY.public), (data, signature, PrivateKey(b"o" * 32).public)):
        with pytest.raises(SignatureInvalid):
            opened(Note, "tiercast note 1", *wrong, "note")
    with pytest.raises(SignatureInvalid):
        opened(Note, "tiercast letter 1", data, signature, KEY.public, "note")


def test_what_was_signed_and_is_no_such_thing_is_said_to_be_none_by_its_name() -> None:
    data = codec.encode(["another shape"])
    with pytest.raises(MessageInvalid) as caught:
        opened(Note, "tiercast note 1", data, KEY.sign("tiercast note 1", data), KEY.public, "note")
    assert caught.value.kind == "note"
