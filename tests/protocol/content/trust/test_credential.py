"""Credentials are the region's word; tokens are text that a human can carry and spoil."""

import base64
import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.content.sealed.digest import digest_of
from tiercast_protocol.content.trust.credential import (
    DOMAIN,
    Credential,
    Token,
    open_credential,
    sign_credential,
)
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import MessageInvalid, SignatureInvalid, UsageError
from tiercast_protocol.wire import codec

KEY = PrivateKey(bytes(range(32)))
CREDENTIAL = Credential(
    region="lab",
    name="desk-1",
    role="endpoint",
    parent="site-a",
    public_key=digest_of(b"key"),
    generation=1,
    issued=1_700_000_000_000,
    server="server",
)
SIGNED, SIGNATURE = sign_credential(CREDENTIAL, KEY)
TOKEN = Token(
    region="lab",
    parent="site-a",
    url="mqtts://site-a.example:8883",
    token_id="t1a2b3",
    secret=bytes(16),
    name="desk-1",
    role="endpoint",
    region_key=KEY.public,
    expires=1_700_000_000_000,
)


def test_round_trip() -> None:
    assert open_credential(SIGNED, SIGNATURE, KEY.public) == CREDENTIAL
    top = msgspec.structs.replace(CREDENTIAL, name="server", role="server", parent="")
    assert open_credential(*sign_credential(top, KEY), KEY.public) == top


def test_golden() -> None:
    assert digest_of(SIGNED).hex() == "769fd6223b7cc11263e5407ed91b02f46f18594ce52bee49ec4e1125f82ce507"


@settings(max_examples=200)
@given(st.integers(0, len(SIGNED) * 8 - 1))
def test_every_bit_counts(bit: int) -> None:
    changed = bytearray(SIGNED)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SignatureInvalid):
        open_credential(bytes(changed), SIGNATURE, KEY.public)


@pytest.mark.parametrize(
    "change",
    [{"role": "king"}, {"name": ""}, {"region": "a/b"}, {"parent": "a b"}, {"public_key": b"x"}, {"generation": 0}],
)
def test_no_credential(change: dict[str, object]) -> None:
    data = codec.encode(msgspec.structs.asdict(CREDENTIAL) | change)
    with pytest.raises(MessageInvalid, match="credential"):
        open_credential(data, KEY.sign(DOMAIN, data), KEY.public)


def test_token_as_text() -> None:
    text = TOKEN.text()
    assert text.startswith("tcj1-")
    assert text.replace("-", "").replace("_", "").isalnum()
    assert len(text) < 300
    assert Token.from_text(f"  {text}\n") == TOKEN


@given(st.integers(5, len(TOKEN.text()) - 1), st.sampled_from("Aa0_-zZ9"))
def test_a_slip_of_copying(at: int, mark: str) -> None:
    text = TOKEN.text()
    for spoilt in (text[:at] + mark + text[at + 1 :], text[:at], text[:at] + text[at + 1 :]):
        found = None
        with contextlib.suppress(UsageError):
            found = Token.from_text(spoilt)
        assert found in {None, TOKEN}  # the last character may carry unused bits


@pytest.mark.parametrize(
    "text", ["", "hello", "tcj1-", "tcj1-é", "tcj1-!!", "tcj2-AAAA", "tcj1-" + "A" * 5000, "tcj1-AAAAAAAA"]
)
def test_no_token(text: str) -> None:
    with pytest.raises(UsageError, match="token") as caught:
        Token.from_text(text)
    assert caught.value.code == "token.invalid"
    assert "tiercast node invite" in caught.value.todo


def test_a_token_of_another_version() -> None:
    data = codec.encode(["only", "two"])
    text = base64.urlsafe_b64encode(digest_of(data)[:4] + data).rstrip(b"=").decode()
    with pytest.raises(UsageError, match="another version"):
        Token.from_text("tcj1-" + text)
