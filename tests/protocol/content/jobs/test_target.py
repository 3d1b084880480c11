"""The language of targets: every tree has a text that reads as it, and sets are what sets are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs.target import (
    DEEPEST,
    LONGEST,
    MOST_TERMS,
    Both,
    Expression,
    Leaf,
    Named,
    Not,
    Where,
    evaluate,
    leaves,
    names_of,
    parse,
    parse_kept,
    union,
)
from tiercast_protocol.errors import UsageError

NAMES = st.sampled_from(["pc-1", "berlin", "and", "where", "node", "a.b_c", "0"])
NAMED = st.builds(
    Named,
    st.sampled_from(["node", "group", "below"]),
    st.lists(NAMES, min_size=1, max_size=3, unique=True).map(tuple),
)
CONDITIONS = st.sampled_from(
    ["cpus > 2", 'name == ")"', "(cpus + 1) * 2 > 3", "name == '('", 'labels["a\\")"] == r"\\"', '"""a"b)""" == name']
)
LEAVES: st.SearchStrategy[Leaf] = NAMED | st.builds(Where, CONDITIONS)
TREES: st.SearchStrategy[Expression] = st.recursive(
    LEAVES,
    lambda inner: st.builds(Not, inner) | st.builds(Both, st.sampled_from(["and", "or", "minus"]), inner, inner),
    max_leaves=12,
)
SETS = st.frozensets(st.integers(0, 9))


@given(TREES)
def test_a_tree_is_read_back_from_its_text(tree: Expression) -> None:
    assert parse(str(tree)) == tree
    assert parse(f"  ( {tree} )\n") == tree


@given(TREES, st.data())
def test_an_expression_is_what_the_sets_say(tree: Expression, data: st.DataObject) -> None:
    whole = frozenset(range(10))
    given_ = {leaf: data.draw(SETS) for leaf in set(leaves(tree))}
    found = evaluate(tree, whole, given_.__getitem__)
    for one in whole:
        assert (one in found) == _holds(tree, one, given_)


def _holds(tree: Expression, one: int, given_: dict[Leaf, frozenset[int]]) -> bool:
    match tree:
        case Not(part):
            return not _holds(part, one, given_)
        case Both("and", left, right):
            return _holds(left, one, given_) and _holds(right, one, given_)
        case Both("or", left, right):
            return _holds(left, one, given_) or _holds(right, one, given_)
        case Both(_, left, right):
            return _holds(left, one, given_) and not _holds(right, one, given_)
        case leaf:
            return one in given_[leaf]


@given(SETS, SETS, SETS)
def test_minus_is_read_from_the_left_and_meets_first(a: frozenset[int], b: frozenset[int], c: frozenset[int]) -> None:
    held = {Named("group", ("a",)): a, Named("group", ("b",)): b, Named("group", ("c",)): c}
    whole = frozenset(range(10))

    def asked(text: str) -> frozenset[int]:
        return evaluate(parse(text), whole, lambda leaf: held[leaf])  # type: ignore[index]

    assert asked("group a minus group b minus group c") == a - b - c
    assert asked("group a or group b minus group c") == (a | b) - c
    assert asked("group a minus group b and group c") == a - (b & c)
    assert asked("not group a and group b") == b - a


@given(st.text(max_size=60) | st.text("()'\"\\ ,whernodgupblwamis", max_size=60))
def test_any_text_is_read_or_refused_with_its_column(text: str) -> None:
    try:
        tree = parse(text)
    except UsageError as error:
        said = error.code, "column" in error.what
    else:
        said = "target.syntax", parse(str(tree)) == tree
    assert said == ("target.syntax", True)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "node NAME"),
        ("sales", 1, "group NAME"),
        ("group", 6, "a name after `group`"),
        ("group a,", 9, "a name"),
        ("group a group b", 9, '"and"'),
        ("(group a", 9, '")"'),
        ("group a)", 8, '"and"'),
        ("where cpus > 1", 7, "in brackets"),
        ("where ()", 7, "a condition"),
        ("where (name == ')", 7, "closes"),
        ("node a and", 11, "node NAME"),
        ("node no/name", 6, "a name"),
        ("(" * (DEEPEST + 2) + "node a", DEEPEST + 2, "at most"),
    ],
)
def test_mistakes_are_told_with_their_column(text: str, column: int, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert f"column {column}:" in caught.value.what
    assert expected in caught.value.what


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match=f"{LONGEST}"):
        parse("node a or " * LONGEST + "node a")


def test_the_largest_expression_is_kept_and_read_back() -> None:
    many = " or ".join(["node a"] * MOST_TERMS)
    deep = "group b or (" * DEEPEST + "group c" + ")" * DEEPEST
    names = tuple(f"pc-{number}" for number in range(10_000))
    for text in (many, deep, "not " * DEEPEST + "node a"):
        tree = union(names, ("sales",), text)
        assert tree is not None
        assert parse_kept(str(tree)) == tree
        assert evaluate(tree, frozenset({1}), lambda _: frozenset()) <= {1}
        assert sum(1 for _ in leaves(tree)) >= 3
    with pytest.raises(UsageError, match="terms"):
        parse(many + " or node a")


def test_names_and_the_union() -> None:
    tree = union(("pc-1",), ("sales",), "below berlin minus where (cpus > 1) or group b, c")
    assert tree is not None
    assert str(tree) == "node pc-1 or group sales or (below berlin minus where (cpus > 1) or group b, c)"
    assert (names_of(tree, "group"), names_of(tree, "node"), names_of(tree, "below")) == (
        {"sales", "b", "c"},
        {"pc-1"},
        {"berlin"},
    )
    assert union((), (), "  ") is None
