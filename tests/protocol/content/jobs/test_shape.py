"""A job's changed terms are the region's, or nothing."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.jobs.shape import DOMAIN, Shape, open_shape, sign_shape
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire import codec

KEY = PrivateKey.generate()


def test_what_was_signed_is_read_and_nothing_else() -> None:
    shape = Shape(region="test", epoch=1, job="j1", change=2, options={"priority": 9})
    data, signature = sign_shape(shape, KEY)
    assert open_shape(data, signature, KEY.public) == shape
    for wrong in ((data + b"x", signature, KEY.public), (data, signature, PrivateKey.generate().public)):
        with pytest.raises(SignatureInvalid):
            open_shape(*wrong)


@pytest.mark.parametrize("wrong", [{"change": 0}, {"job": "../x"}, {"options": {"any_version": True}}, {"epoch": -1}])
def test_it_is_about_transfers_only(wrong: dict[str, object]) -> None:
    plain = {"region": "test", "epoch": 1, "job": "j1", "change": 1, "options": {}} | wrong
    data = codec.encode(plain)
    with pytest.raises(MessageInvalid):
        open_shape(data, KEY.sign(DOMAIN, data), KEY.public)
