"""Lists of parents and placings: only the region's and the node's own word counts."""

from __future__ import annotations

import msgspec
import pytest

from tiercast_protocol.content.trust import parents as p
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid
from tiercast_protocol.wire import codec

KEY = PrivateKey(bytes(range(32)))
HOME = p.Candidate(name="berlin", url="mqtt://berlin:1883")
PARENTS = p.Parents(region="lab", node="pc", generation=2, issued=5, home=HOME, candidates=[], called=4)
PLACING = p.Placing(region="lab", node="pc", generation=2, parent="berlin", seq=7, at=6, reason="first")


def test_what_was_signed_is_what_is_read() -> None:
    assert p.open_parents(*p.sign_parents(PARENTS, KEY), KEY.public) == PARENTS
    assert p.open_placing(*p.sign_placing(PLACING, KEY), KEY.public) == PLACING


def test_anothers_word_is_no_word_and_one_is_not_taken_for_the_other() -> None:
    other = PrivateKey.generate()
    with pytest.raises(SignatureInvalid):
        p.open_parents(*p.sign_parents(PARENTS, other), KEY.public)
    with pytest.raises(SignatureInvalid):
        p.open_placing(*p.sign_placing(PLACING, other), KEY.public)
    with pytest.raises(SignatureInvalid):
        p.open_placing(*p.sign_parents(PARENTS, KEY), KEY.public)


@pytest.mark.parametrize(
    "change",
    [{"node": "berlin"}, {"generation": -1}, {"called": 1 << 60}, {"candidates": [HOME] * 17}],
)
def test_a_list_that_can_not_be(change: dict[str, object]) -> None:
    raw = msgspec.to_builtins(PARENTS) | {k: msgspec.to_builtins(v) for k, v in change.items()}
    data = codec.encode(raw)
    with pytest.raises(MessageInvalid):
        p.open_parents(data, KEY.sign(p.PARENTS_DOMAIN, data), KEY.public)


@pytest.mark.parametrize(
    "change", [{"parent": "pc"}, {"node": "a/b"}, {"seq": -1}, {"reason": "x" * 201}, {"parent": "join-1"}]
)
def test_a_placing_that_can_not_be(change: dict[str, object]) -> None:
    data = codec.encode(msgspec.to_builtins(PLACING) | change)
    with pytest.raises(MessageInvalid):
        p.open_placing(data, KEY.sign(p.PLACING_DOMAIN, data), KEY.public)
