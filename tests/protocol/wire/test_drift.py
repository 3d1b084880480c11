"""Messages about the desired state; shapes and golden bytes of every kind stand in test_messages.py."""

from __future__ import annotations

import msgspec
import pytest

from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid
from tiercast_protocol.wire import codec
from tiercast_protocol.wire.drift import Assigned, DriftTold


def test_what_says_nothing_more_is_small() -> None:
    assert len(codec.encode(Assigned(name="a", seq=1, requires=""))) < 24
    told = DriftTold(node="g", name="a", of=1, at=2)
    assert codec.decode(codec.encode(told), DriftTold) == told


def test_a_gateway_signs_what_it_counted() -> None:
    key = PrivateKey.generate()
    told = DriftTold(node="g", name="a", of=1, at=2, counts={"missing": 1, "holds": 3}, some=[("pc1", "missing", "")])
    signed = codec.decode(codec.encode(told.signed(key)), DriftTold)
    signed.prove(key.public)
    for forged in (told, msgspec.structs.replace(signed, counts={"holds": 4}), msgspec.structs.replace(signed, at=3)):
        with pytest.raises(SignatureInvalid):
            forged.prove(key.public)
