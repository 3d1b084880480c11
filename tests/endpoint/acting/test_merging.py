"""Three-way merging."""

from __future__ import annotations

from tiercast_endpoint.acting.merging import merged

BASE = b"a\nb\nc\nd\n"


def test_changes_that_do_not_touch_are_both_taken() -> None:
    assert merged(BASE, b"a\nb\nc\nD\n", b"A\nb\nc\nd\n") == b"A\nb\nc\nD\n"
    assert merged(BASE, BASE, b"") == b""
    assert merged(BASE, b"a\nb\nc\nd", b"A\nb\nc\nd") == b"A\nb\nc\nd\n"


def test_changes_that_touch_are_no_merge() -> None:
    assert merged(BASE, b"a\nb\nc\nX\n", b"a\nb\nc\nY\n") is None
