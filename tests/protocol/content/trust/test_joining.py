"""A joining node's request, from both sides."""

import msgspec
import pytest

from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.content.trust.joining import check_key, check_proof, join_password, join_user, make_request
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_protocol.errors import SignatureInvalid

SECRET = bytes(range(32))


def a_token() -> Token:
    return Token(
        region="r",
        parent="server",
        url="mqtt://127.0.0.1:1",
        token_id="0badcafe",
        secret=SECRET,
        name="pc1",
        role="endpoint",
        region_key=bytes(32),
        expires=1,
    )


def test_what_the_node_makes_the_region_accepts() -> None:
    key = PrivateKey.generate()
    request = make_request(a_token(), key, "$7$...")
    check_key(request)
    check_proof(request, SECRET)
    assert request.public_key == key.public
    assert join_user(request.token_id) == "join-0badcafe"
    assert bytes.fromhex(join_password(SECRET)) == SECRET


@pytest.mark.parametrize("change", [{"name": "pc2"}, {"public_key": PrivateKey.generate().public}, {"signature": b""}])
def test_a_request_serves_no_other_name_and_no_other_key(change: dict[str, object]) -> None:
    request = msgspec.structs.replace(make_request(a_token(), PrivateKey.generate(), ""), **change)
    with pytest.raises(SignatureInvalid):
        check_key(request)


def test_another_secret_proves_nothing() -> None:
    key = PrivateKey.generate()
    request = make_request(a_token(), key, "")
    with pytest.raises(SignatureInvalid):
        check_proof(request, bytes(32))
    with pytest.raises(SignatureInvalid):
        check_proof(msgspec.structs.replace(request, name="pc2"), SECRET)
