"""What an owner chose, as records carry it: what can't be read is nothing chosen; counts are of rows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.chosen import Chosen, Said, counted, packed, read, summary

NOW = 1_000


def said(node: str, *, site: str = "berlin", ended: bool = False, **chosen: object) -> Said:
    return Said(
        job="j1",
        package="editor",
        version="2",
        node=node,
        site=site,
        state="done" if ended else "staged",
        ended=ended,
        chosen=Chosen(**chosen),  # type: ignore[arg-type]
        groups=("sales", "all"),
    )


def test_what_was_packed_is_read() -> None:
    chosen = Chosen(until=5, times=2, by="alice", at=3, prefers=True)
    assert read(packed(chosen)) == chosen
    assert packed(Chosen()) == "{}"


UNREADABLE = (
    *("", "{", "[]", '{"times":-1}', '{"times":1e30}', '{"by":5}', '{"until":"x"}', '{"answer":"maybe"}'),
    *(json.dumps({"by": "x" * 65}), json.dumps({"by": "\x1b[2J"})),
)


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_can_not_be_read_is_nothing_chosen(text: str) -> None:
    assert read(text) is None


@given(st.text())
def test_whatever_comes_raises_nothing(text: str) -> None:
    read(text)


def test_counts_are_of_what_is_so_now() -> None:
    rows = [
        said("a", until=NOW + 5, times=2),
        said("b", until=NOW - 5, times=1),
        said("c", ended=True, until=NOW + 9, times=3, answer="rejected"),
        said("d", held=3, site="paris"),
        said("e", prefers=True),
    ]
    found = counted(rows, NOW)
    assert found == {
        "targets": 5,
        "deferred": 1,
        "held": 1,
        "preferred": 1,
        "accepted": 0,
        "declined": 0,
        "rejected": 1,
        "times": 6,
        "latest": NOW + 5,
    }
    told = summary(rows, by="site", now=NOW, most=2)
    by = told["by"]
    assert isinstance(by, list)
    assert [(one["name"], one["targets"]) for one in by] == [("berlin", 4), ("paris", 1)]
    assert told["left_out"] == 3
    groups = summary(rows, by="group", now=NOW, most=0)["by"]
    assert isinstance(groups, list)
    assert [one["name"] for one in groups] == ["all", "sales"]
