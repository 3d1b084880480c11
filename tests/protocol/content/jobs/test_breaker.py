"""Limits of breakers, and the signed words about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs import breaker as b
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid

KEY, OTHER = PrivateKey.generate(), PrivateKey.generate()


@given(st.integers(0, 20), st.integers(0, b.WHOLE), st.integers(0, 50), st.integers(1, 50))
def test_more_failures_never_close_what_fewer_reach(number: int, share: int, bad: int, total: int) -> None:
    limit = b.Limit(number, share)
    assert not limit.reached(0, total)
    if limit.reached(bad, total):
        assert limit
        assert limit.reached(bad + 1, total)


def test_limits_in_words_and_in_orders() -> None:
    assert [str(b.Limit(3)), str(b.Limit(0, 2_500)), str(b.Limit())] == ["3", "2.5%", ""]
    assert b.limit_of({b.SITE_NUMBER: 3, b.SITE_SHARE: 5_000}) == b.Limit(3, 5_000)
    for wrong in ("3", -1, True, 1 << 60):
        assert not b.limit_of({b.SITE_NUMBER: wrong, b.SITE_SHARE: wrong})
    assert b.formers_of({b.FORMERS: "1.0,2.0"}) == {"1.0", "2.0"}
    assert [b.formers_of(wrong) for wrong in ({}, {b.FORMERS: 3}, {b.FORMERS: ""})] == [frozenset()] * 3
    assert len(b.formers_of({b.FORMERS: ",".join(map(str, range(99)))})) == b.MOST_FORMERS
    assert b.rollout_of({b.ROLLOUT: "r1-ab12"}) == "r1-ab12"
    assert [b.rollout_of({b.ROLLOUT: wrong}) for wrong in ("", 3, "no name!")] == ["", "", ""]


def test_only_who_signed_is_believed() -> None:
    trip = b.Trip(region="r", node="g", generation=1, rollout="r1", seq=1, at=5, shut=True, bad=1, total=2, limit="1")
    data, signature = b.sign_trip(trip, KEY)
    assert b.open_trip(data, signature, KEY.public) == trip
    word = b.Again(region="r", epoch=1, rollout="r1", again=1)
    said, signed = b.sign_again(word, KEY)
    assert b.open_again(said, signed, KEY.public) == word
    with pytest.raises(SignatureInvalid):
        b.open_trip(data, signature, OTHER.public)
    with pytest.raises(SignatureInvalid, match=r"."):
        b.open_again(data, signature, KEY.public)


@pytest.mark.parametrize("wrong", [{"seq": -1}, {"node": "no name!"}, {"limit": "x" * 99}])
def test_a_word_that_can_not_be(wrong: dict[str, object]) -> None:
    fields = {"region": "r", "node": "g", "generation": 1, "rollout": "r1", "seq": 1, "at": 5, "shut": True}
    with pytest.raises(ValueError, match=r"name|range"):
        b.Trip(**{**fields, "bad": 1, "total": 2, **wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="range"):
        b.Again(region="r", epoch=1, rollout="r1", again=0)
