"""Who is let in: any story of requests with one token lets in at most one key."""

from hypothesis import given
from hypothesis import strategies as st

from tiercast_mqtt.password import hash_password
from tiercast_protocol.content.trust.credential import Token
from tiercast_protocol.content.trust.joining import make_request
from tiercast_protocol.content.trust.keys import PrivateKey
from tiercast_server.nodes.enrolment_rules import Accept, IssuedToken, Refuse, Repeat, judge
from tiercast_server.nodes.nodes import Node

SECRET = bytes(32)
HASH = hash_password("x", iterations=1)
KEYS = [PrivateKey(bytes([n] * 32)) for n in range(1, 4)]


def _token(name: str, role: str, secret: bytes) -> Token:
    return Token(
        region="r", parent="s", url="u", token_id="aa", secret=secret, name=name, role=role, region_key=bytes(32),
        expires=1,
    )  # fmt: skip


asks = st.tuples(
    st.integers(0, 2), st.sampled_from(["pc1", "pc2"]), st.sampled_from(["endpoint", "gateway"]),
    st.sampled_from([SECRET, bytes([1] * 32)]), st.integers(0, 40),
)  # fmt: skip


@given(st.lists(asks, max_size=12), st.booleans(), st.booleans())
def test_at_most_one_key_gets_in(story: list[tuple[int, str, str, bytes, int]], replaces: bool, joined: bool) -> None:
    issued = IssuedToken("aa", SECRET, "pc1", "endpoint", "s", replaces, 100, b"", b"")
    node = Node("pc1", "endpoint", "s", "joined" if joined else "invited", bytes(32), "", int(joined), 0, 0, "")
    now, let_in = 0, []
    for key, name, role, secret, passed in story:
        now += passed
        request = make_request(_token(name, role, secret), KEYS[key], HASH)
        verdict = judge(request, issued, node if name == "pc1" else None, None, now=now)
        match verdict:
            case Accept(generation):
                assert (name, role, secret) == ("pc1", "endpoint", SECRET)
                assert now < 100
                assert generation == node.generation + 1
                assert replaces or not joined
                let_in.append(key)
                issued = IssuedToken("aa", b"", "pc1", "endpoint", "s", replaces, 100, KEYS[key].public, b"reply")
                node = Node("pc1", "endpoint", "s", "joined", KEYS[key].public, HASH, generation, 0, now, "")
            case Repeat():
                assert let_in == [key]
            case Refuse(code, reason):
                assert code
                assert reason
    assert len(let_in) <= 1


def test_a_key_that_another_node_holds() -> None:
    issued = IssuedToken("aa", SECRET, "pc1", "endpoint", "s", False, 100, b"", b"")
    node = Node("pc1", "endpoint", "s", "invited", b"", "", 0, 0, None, "")
    request = make_request(_token("pc1", "endpoint", SECRET), KEYS[0], HASH)
    assert judge(request, issued, node, "pc9", now=1) == Refuse("enrol.key-taken", _reason())
    assert isinstance(judge(request, None, node, None, now=1), Refuse)


def _reason() -> str:
    return "the key is that of 'pc9'; a copied machine needs a key of its own"
