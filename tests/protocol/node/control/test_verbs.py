"""The table of verbs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.control.verbs import Call, Verbs
from tiercast_protocol.node.kernel import Peer


async def one(call: Call) -> int:
    """One."""
    return 1


async def many(call: Call) -> AsyncIterator[int]:
    yield 1


def _call(**args: Any) -> Call:
    return Call("x.y", args, Peer(1, 0, 0), "admin", "root", "c")


def test_results_and_streams_are_told_apart() -> None:
    verbs = Verbs()
    verbs.add("one", "viewer", one)
    verbs.add("many", "operator", many)
    assert (verbs.named("one").streams, verbs.named("many").streams) == (False, True)
    assert verbs.named("one").doc == "One."


def test_no_verb_without_a_role_nor_twice() -> None:
    verbs = Verbs()
    with pytest.raises(ValueError, match="no role"):
        verbs.add("one", "", one)  # type: ignore[arg-type]
    verbs.add("one", "viewer", one)
    with pytest.raises(ValueError, match="twice"):
        verbs.add("one", "admin", one)
    with pytest.raises(ValueError, match="neither"):
        verbs.add("two", "viewer", lambda _: 1)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("name", ["x", None, 7, ["one"], "x" * 10_000])
def test_an_unknown_verb(name: object) -> None:
    with pytest.raises(UsageError) as caught:
        Verbs().named(name)
    assert caught.value.code == "verb.unknown"
    assert len(str(caught.value)) < 400


def test_arguments() -> None:
    call = _call(t="a", n=1, f=True, d=b"x", l=["a"], m={"k": 1})
    assert (call.text("t"), call.number("n"), call.flag("f"), call.data("d"), call.texts("l"), call.mapping("m")) == (
        "a", 1, True, b"x", ["a"], {"k": 1},
    )  # fmt: skip
    assert call.text("none", "default") == "default"
    assert call.texts("none", []) == []


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", 1),
        ("number", True),
        ("number", "1"),
        ("flag", 1),
        ("data", "x"),
        ("texts", ["a", 1]),
        ("texts", "a"),
        ("mapping", []),
    ],
)
def test_a_wrong_argument_is_named(method: str, value: object) -> None:
    with pytest.raises(UsageError, match='"a"') as caught:
        getattr(_call(a=value), method)("a")
    assert caught.value.code == "argument.invalid"
    with pytest.raises(UsageError, match="is missing"):
        getattr(_call(), method)("a")
