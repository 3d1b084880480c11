"""The language of targets: who is meant, as a text (docs/jobs.md, "Targets").  Pure.

    expression := meet (("or" | "minus") meet)*          from left to right
    meet       := part ("and" part)*
    part       := "not" part | "(" expression ")" | term
    term       := "node" NAME ("," NAME)* | "group" NAME ("," NAME)* | "below" NAME ("," NAME)*
                | "where" "(" condition over facts, in CEL ")"

Rules
- A text has one tree, and a tree one text (`str`), which reads as the same tree again.
- After "node", "group" and "below" any word is a name; elsewhere the small words mean what they say.
- The condition is taken as it stands, up to its closing bracket; whether it makes sense is for who compiles it.
- What is wrong is told with its column.  Nothing here grows without bound: length and depth are limited.
- Sets are of whatever the caller gives: this file knows the operations, not the nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from tiercast_protocol.errors import UsageError
from tiercast_protocol.wire.topics import valid_name

T = TypeVar("T")

#: Longest expression, in characters, deepest nesting, and most terms.
LONGEST, DEEPEST, MOST_TERMS = 8_000, 32, 200
#: What is kept of a job is the union of an expression with names: so much deeper, and of so many terms more.
_UNION = 4
Kind = Literal["node", "group", "below"]
_NAMED: tuple[Kind, ...] = ("node", "group", "below")
_WORD = re.compile(r"[^\s(),]+")
_BLANK = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Named:
    """The nodes, the members of the groups, or all below the nodes, of these names."""

    kind: Kind
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} {', '.join(self.names)}"


@dataclass(frozen=True, slots=True)
class Where:
    """The machines of whose facts the condition is true."""

    condition: str

    def __str__(self) -> str:
        return f"where ({self.condition})"


@dataclass(frozen=True, slots=True)
class Not:
    """All but these."""

    part: Expression

    def __str__(self) -> str:
        return f"not {_bracketed(self.part, isinstance(self.part, Both))}"


@dataclass(frozen=True, slots=True)
class Both:
    """What two sets come to."""

    operator: Literal["and", "or", "minus"]
    left: Expression
    right: Expression

    def __str__(self) -> str:
        # Read from the left, and "and" before the others: brackets only where that would read another tree.
        one = isinstance(self.left, Both) and self.operator == "and" and self.left.operator != "and"
        other = isinstance(self.right, Both) and (self.operator == "and" or self.right.operator != "and")
        return f"{_bracketed(self.left, one)} {self.operator} {_bracketed(self.right, other)}"


Leaf: TypeAlias = Named | Where
Expression: TypeAlias = Named | Where | Not | Both


def _bracketed(part: Expression, needed: bool) -> str:  # noqa: FBT001 - the answer to a question
    return f"({part})" if needed else str(part)


def parse(text: str) -> Expression:
    """The tree of `text`.

    Raises:
        UsageError: target.syntax, with the column and what was expected there.
    """
    if len(text) > LONGEST:
        raise UsageError(
            code="target.syntax",
            what=f"The expression is {len(text)} characters long; {LONGEST} are the most.",
            todo="Make groups of its parts: `tiercast group create`.",
        )
    return _read(text, DEEPEST, MOST_TERMS)


def parse_kept(text: str) -> Expression:
    """The tree of a text that `str` made of a `union`, which may be longer than what somebody may write."""
    return _read(text, DEEPEST + _UNION, MOST_TERMS + _UNION)


def _read(text: str, deepest: int, most_terms: int) -> Expression:
    reader = _Reader(text, deepest, most_terms)
    found = reader.expression(0)
    reader.end()
    return found


def leaves(expression: Expression) -> Iterator[Leaf]:
    """The terms of the expression, from left to right."""
    match expression:
        case Not(part):
            yield from leaves(part)
        case Both(_, left, right):
            yield from leaves(left)
            yield from leaves(right)
        case leaf:
            yield leaf


def names_of(expression: Expression, kind: Kind) -> set[str]:
    """The names that stand after `kind` anywhere in the expression."""
    return {name for leaf in leaves(expression) if isinstance(leaf, Named) and leaf.kind == kind for name in leaf.names}


def evaluate(expression: Expression, all_: frozenset[T], members: Callable[[Leaf], frozenset[T]]) -> frozenset[T]:
    """What the expression comes to, where each term is `members` of it, and "not" is what of `all_` is left."""
    match expression:
        case Not(part):
            return all_ - evaluate(part, all_, members)
        case Both(operator, left, right):
            one, other = evaluate(left, all_, members), evaluate(right, all_, members)
            return one & other if operator == "and" else one | other if operator == "or" else one - other
        case leaf:
            return members(leaf)


def union(names: Iterable[str], groups: Iterable[str], text: str) -> Expression | None:
    """All of these together; None where nothing was named.

    Raises:
        UsageError: target.syntax.
    """
    parts: list[Expression] = []
    if names := tuple(names):
        parts.append(Named("node", names))
    if groups := tuple(groups):
        parts.append(Named("group", groups))
    if text.strip():
        parts.append(parse(text))
    whole: Expression | None = None
    for part in parts:
        whole = part if whole is None else Both("or", whole, part)
    return whole


class _Reader:
    """Reads one text from left to right."""

    def __init__(self, text: str, deepest: int, most_terms: int) -> None:
        self._text, self._deepest, self._most_terms = text, deepest, most_terms
        self._at = self._terms = 0

    def expression(self, depth: int) -> Expression:
        found = self._meet(depth)
        while (word := self._peek()) in {"or", "minus"}:
            self._take()
            found = Both("or" if word == "or" else "minus", found, self._meet(depth))
        return found

    def end(self) -> None:
        if word := self._peek():
            raise self._error('"and", "or", "minus" or the end', word)

    def _meet(self, depth: int) -> Expression:
        found = self._part(depth)
        while self._peek() == "and":
            self._take()
            found = Both("and", found, self._part(depth))
        return found

    def _part(self, depth: int) -> Expression:
        word = self._peek()
        if depth > self._deepest:
            raise self._error(f"at most {self._deepest} brackets and `not` within each other", word)
        self._terms += 1
        if self._terms > self._most_terms:
            raise self._error(f"at most {self._most_terms} terms (`node a, b, c` is one)", word)
        for kind in _NAMED:
            if word == kind:
                self._take()
                return Named(kind, self._names(kind))
        match word:
            case "not":
                self._take()
                return Not(self._part(depth + 1))
            case "(":
                self._take()
                found = self.expression(depth + 1)
                if self._peek() != ")":
                    raise self._error('"and", "or", "minus" or ")"', self._peek())
                self._take()
                return found
            case "where":
                self._take()
                return Where(self._condition())
            case _:
                raise self._error("node NAME, group NAME, below GATEWAY, where (CONDITION), not or (", word)

    def _names(self, kind: str) -> tuple[str, ...]:
        found: list[str] = []
        while True:
            word = self._peek()
            if not valid_name(word):
                raise self._error(f"a name after `{kind}`", word)
            found.append(self._take())
            if self._peek() != ",":
                return tuple(dict.fromkeys(found))
            self._take()

    def _condition(self) -> str:
        if self._peek() != "(":
            raise self._error("a condition in brackets after `where`", self._peek())
        begin = self._at
        self._take()
        inside = self._at
        end = _closing(self._text, inside)
        if end is None:
            self._at = begin
            raise self._error("a `)` that closes this bracket (text in quotes does not count)", "")
        self._at = end + 1
        condition = self._text[inside:end].strip()
        if not condition:
            self._at = begin
            raise self._error("a condition", "()")
        return condition

    def _peek(self) -> str:
        """The next word, comma or bracket; "" at the end."""
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
        if self._at >= len(self._text):
            return ""
        word = _WORD.match(self._text, self._at)
        return word[0] if word else self._text[self._at]

    def _take(self) -> str:
        word = self._peek()
        self._at += len(word)
        return word

    def _error(self, expected: str, found: str) -> UsageError:
        end = not found and self._at >= len(self._text)
        what = "it ends" if end else f"there stands {found[:40]!r}" if found else "it is not closed"
        return UsageError(
            code="target.syntax",
            what=f"The target can't be read at column {self._at + 1}: {what}, expected {expected}.",
            where=self._text[max(0, self._at - 30) : self._at + 30],
            todo="As in: group sales and below berlin minus (node pc-1 or where (memory < 4000000000)).",
        )


def _closing(text: str, at: int) -> int | None:
    """Where the bracket closes that opened before `at`; quotes are CEL's: '', "", their triples, and r before."""
    depth = 1
    while at < len(text):
        character = text[at]
        if character in "'\"":
            raw = at > 0 and text[at - 1] in "rR"
            end = _unquoted(text, at, raw=raw)
            if end is None:
                return None
            at = end
            continue
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return at
        at += 1
    return None


def _unquoted(text: str, at: int, *, raw: bool) -> int | None:
    """The place after the quoted text that opens at `at`."""
    quote = text[at] * 3 if text.startswith(text[at] * 3, at) else text[at]
    at += len(quote)
    while at < len(text):
        if text.startswith(quote, at):
            return at + len(quote)
        at += 2 if text[at] == "\\" and not raw else 1
    return None
