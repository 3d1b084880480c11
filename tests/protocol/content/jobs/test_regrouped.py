"""The region's word of groups that changed: its own, and readable."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.jobs import vouching as v
from tiercast_protocol.content.jobs.regrouped import DOMAIN, Regrouped, open_regrouped, sign_regrouped
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid

KEY = PrivateKey.generate()
TEXT = v.definition_text(v.Definition(target="group a", groups={"a": v.Group(members=["pc-1"])}))


def word(definition: str = TEXT, at: int = 7) -> Regrouped:
    return Regrouped(region="demo", job="j1", at=at, expires=9, definition=definition)


def test_it_comes_as_it_was_signed() -> None:
    found = open_regrouped(*sign_regrouped(word(), KEY), KEY.public)
    assert found == word()
    assert found.said.groups["a"].members == ["pc-1"]


def test_what_is_another_ones_or_can_not_be_read_is_refused() -> None:
    data, signature = sign_regrouped(word(), KEY)
    with pytest.raises(SignatureInvalid):
        open_regrouped(data, signature, PrivateKey.generate().public)
    with pytest.raises(SignatureInvalid):
        open_regrouped(data, KEY.sign("another domain", data), KEY.public)
    with pytest.raises(MessageInvalid):
        open_regrouped(b"\x80", KEY.sign(DOMAIN, b"\x80"), KEY.public)
    with pytest.raises(MessageInvalid):
        open_regrouped(*sign_regrouped(word("[1]"), KEY), KEY.public)
    with pytest.raises(ValueError, match="range"):
        word(at=-1)
