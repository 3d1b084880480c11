"""What was verified last."""

from tiercast_protocol.node.chunks.recent import Recent


def test_bounded_in_bytes_and_the_longest_unasked_goes_first() -> None:
    recent = Recent(10)
    recent.keep(b"a", b"1234")
    recent.keep(b"b", b"1234")
    assert recent.get(b"a") == b"1234"
    recent.keep(b"c", b"1234")
    assert [recent.get(x) for x in (b"a", b"b", b"c")] == [b"1234", None, b"1234"]
    recent.keep(b"c", b"123456")
    assert recent.bytes == 10
    recent.keep(b"d", b"x" * 11)
    assert recent.bytes == 0
    recent.keep(b"a", b"1")
    recent.drop(b"a")
    recent.drop(b"a")
    assert recent.bytes == 0
    recent.keep(b"a", b"1")
    recent.clear()
    assert (recent.bytes, recent.get(b"a")) == (0, None)
