"""An entry knows where its parts end."""

from tiercast_protocol.content.sealed.entry import Entry, Kind, Part


def test_end() -> None:
    parts = (Part(b"a" * 32, 0, 5), Part(b"b" * 32, 7, 6))
    assert Entry("f", Kind.FILE, size=11, parts=parts).end == 11
    assert Entry("f", Kind.FILE, size=100, parts=parts, start=20).end == 31
    assert Entry("d", Kind.FOLDER).end == 0
