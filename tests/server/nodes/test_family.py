"""Who may be whose parent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.nodes.family import BESIDE, Family, Member

TREE = [
    Member("r1", "gateway", "server"),
    Member("a", "gateway", "r1"),
    Member("b", "gateway", "r1"),
    Member("c", "gateway", "r1"),
    Member("d", "gateway", "r1"),
    Member("e", "gateway", "r1"),
    Member("new", "gateway", "r1", joined=False),
    Member("pc", "endpoint", "a"),
    Member("a1", "gateway", "a"),
    Member("top", "endpoint", "server"),
]
FAMILY = Family("server", TREE)


def test_candidates_are_some_beside_and_the_one_above() -> None:
    found = FAMILY.candidates("pc")
    assert found[-1] == "r1"
    assert len(found) == BESIDE + 1
    assert set(found[:-1]) < {"b", "c", "d", "e"}
    assert [FAMILY.cost("pc", one) for one in found] == [0, 0, 0, 1]
    assert FAMILY.cost("pc", "server") == 1
    assert FAMILY.candidates("a") == ["server"]
    assert FAMILY.candidates("top") == []
    assert FAMILY.candidates("unknown") == []


def test_children_of_one_gateway_are_spread() -> None:
    many = Family("server", [*TREE, *(Member(f"pc{n}", "endpoint", "a") for n in range(200))])
    first = [many.candidates(f"pc{n}")[0] for n in range(200)]
    assert all(30 < first.count(one) < 70 for one in "bcde")


@pytest.mark.parametrize(
    ("name", "parent", "code", "circle"),
    [
        ("a", "a1", "tree.cyclic", "a > a1 > a"),
        ("r1", "a1", "tree.cyclic", "r1 > a > a1 > r1"),
        ("a", "a", "tree.cyclic", "a > a"),
        ("pc", "top", "parent.invalid", ""),
        ("pc", "new", "parent.invalid", ""),
        ("pc", "nobody", "parent.invalid", ""),
    ],
)
def test_what_can_not_be_a_parent_is_said(name: str, parent: str, code: str, circle: str) -> None:
    with pytest.raises(UsageError) as raised:
        FAMILY.check_parent(name, parent)
    assert raised.value.code == code
    assert circle in raised.value.what


def test_where_nodes_are_now_counts_as_well() -> None:
    moved = Family("server", [*TREE[:2], Member("b", "gateway", "r1", present="a"), *TREE[3:]])
    with pytest.raises(UsageError, match="a > b > a"):
        moved.check_parent("a", "b")
    moved.check_parent("a", "c")
    moved.check_parent("a", "server")


@given(st.lists(st.integers(-1, 9), min_size=10, max_size=10), st.integers(0, 9), st.integers(0, 9))
def test_what_is_allowed_never_makes_a_circle(homes: list[int], name: int, parent: int) -> None:
    names = [f"g{n}" for n in range(10)]
    # a node's home is one before it: a tree
    members = [
        Member(one, "gateway", names[h % n] if h >= 0 and n else "server")
        for n, (one, h) in enumerate(zip(names, homes, strict=True))
    ]
    tree = Family("server", members)
    assert set(tree.candidates(names[name])).isdisjoint([names[name], *tree.below(names[name])])
    try:
        tree.check_parent(names[name], names[parent])
    except UsageError:
        assert parent == name or names[parent] in tree.below(names[name])
        return
    home = {one.name: one.home for one in members} | {names[name]: names[parent]}
    at, steps = names[name], 0
    while at != "server":
        at, steps = home[at], steps + 1
        assert steps <= 10
