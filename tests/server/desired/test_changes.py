"""Changes, and all mistakes at once."""

from __future__ import annotations

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_server.desired.changes import Changed, Mistakes, differing


def test_what_differs() -> None:
    assert differing({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": "x"}) == ("b: 2 -> 3", "c: nothing -> 'x'")
    assert Changed("group", "g", "added").shown() == {"kind": "group", "name": "g", "change": "added", "differs": []}


def wrong(code: str) -> None:
    raise UsageError(code, "It is wrong.")


def test_mistakes_have_their_line_or_that_of_what_they_stand_in() -> None:
    mistakes = Mistakes({"group.a": 3})
    mistakes.refuse()
    assert not mistakes.check("group.a.members", wrong, "node.unknown")
    assert mistakes.check("group.a", len, "x")
    mistakes.add("window.w", "none")
    with pytest.raises(UsageError) as caught:
        mistakes.refuse()
    assert caught.value.what == (
        "2 mistakes in the document:\nline 3, group.a.members: node.unknown: It is wrong\nwindow.w: none"
    )
    assert caught.value.code == "desired.invalid"
