"""What children want and whether it is at hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_protocol.transfer.supply import Supply

steps = st.lists(
    st.tuples(
        st.sampled_from(["want", "unwant", "found", "absent", "doubt", "ask"]),
        st.sampled_from([b"a", b"b", b"c"]),
        st.sampled_from(["one", "two"]),
    ),
    max_size=60,
)


@settings(max_examples=500)
@given(steps)
def test_a_chunk_is_looked_for_once_and_known_while_wanted(story: list[tuple[str, bytes, str]]) -> None:
    supply = Supply()
    wanted: set[tuple[bytes, str]] = set()
    looking: set[bytes] = set()
    asked: set[bytes] = set()
    for step, digest, child in story:
        match step:
            case "want":
                supply.want(digest, child)
                wanted.add((digest, child))
            case "unwant":
                supply.unwant(digest, child)
                wanted.discard((digest, child))
            case "found":
                supply.found(digest, 7)
                looking.discard(digest)
            case "absent":
                told = supply.absent(digest)
                assert set(told) == {c for d, c in wanted if d == digest}
                wanted = {(d, c) for d, c in wanted if d != digest}
                looking.discard(digest)
            case "doubt":
                supply.doubt(digest)
            case _:
                find, forget = supply.take_questions()
                assert not set(find) & looking, "looked for twice"
                # What was found a moment before is forgotten in vain, and that is harmless.
                assert set(forget) <= asked
                assert not {d for d, _ in wanted} & set(forget)
                looking = looking - set(forget) | set(find)
                asked |= set(find)
        assert len(supply) == len({d for d, _ in wanted})


def test_wanted_again_before_it_was_forgotten() -> None:
    supply = Supply()
    supply.want(b"a", "one")
    assert supply.take_questions() == ((b"a",), ())
    supply.unwant(b"a", "one")
    supply.want(b"a", "two")
    assert supply.take_questions() == ((), ())
