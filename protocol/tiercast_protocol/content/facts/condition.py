"""Conditions over the facts of a machine, in CEL (docs/jobs.md, "Facts and conditions").

Rules
- All that can be told from the text is told before anything is looked at: syntax, unknown facts, unknown functions.
- CEL has no budget of steps, so nothing that loops is let in: functions are those of `FUNCTIONS`, macros over lists
  are none of them; the text, its words and its depth are limited, and a whole evaluation has a time limit.
- It is tried on an example before it is taken: what makes no sense, or costs too much, is refused where no machine has
  said anything yet.
- A machine of which a fact that the condition needs is not known is not meant, and is counted with the fact's name.
- Only the facts that the condition names are read; of a map only the entries that it names, where it names entries.
- `compare(a, b)` orders two versions (`versions.py`): CEL itself knows texts and numbers only.
- Blocking (CPU): to be run in a thread.  The library is imported when the first condition is compiled.
"""

from __future__ import annotations

import difflib
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from tiercast_protocol.content.facts.inventory import FACTS, SOFTWARE, Facts
from tiercast_protocol.content.facts.versions import compare
from tiercast_protocol.errors import UsageError

if TYPE_CHECKING:
    import cel

#: Longest condition, most words in it, deepest nesting.
LONGEST, MOST_WORDS, DEEPEST = 2_000, 400, 30
#: What a condition may call; none of it loops over more than one text.
FUNCTIONS = (
    "compare",
    "contains",
    "double",
    "endsWith",
    "has",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "uint",
)
_MACROS = {"all", "exists", "exists_one", "existsOne", "filter", "map", "reduce", "bind", "transformList"}
_TOKEN = re.compile(
    r"(?P<text>[rR]?(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"))"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<sign>&&|\|\||[=!<>]=|\S)",
    re.DOTALL,
)
_PARSER_SAYS = re.compile(r"<input>:\d+:(\d+): (?:Syntax error: )?(.*?)(?: expecting .*)?")
_WORDS_OF_CEL = {"true", "false", "null", "in"}
_MAPS = ("packages", "labels", "custom", "failed", "networks", SOFTWARE)
#: Entries of a map that are shown, and numbers that are shown with three digits.
_MOST_SHOWN, _LARGE = 10, 10**6
#: How long a condition may take over all machines, and over one of them, in seconds.
TIME_LIMIT_S, ONE_LIMIT_S = 5.0, 0.02
_Token = tuple[str, str]
#: Several threads may need the library first at one moment.
_IMPORTING = threading.Lock()
#: A machine as many are.
_NAME = "the example"
_FACTS = (
    '{"name":"pc-1","os":"linux","distribution":"debian","version":"12","kernel":"6.1.0-18-amd64",'
    '"architecture":"x86_64","cpus":4,"memory":8000000000,"disk_free":100000000000,"disk_total":200000000000,'
    '"python":"3.11.2","agent":"1.0.0","packages":{},"labels":{},'
    '"custom":{},"failed":{},"networks":{},"software":{}}'
)


@dataclass(slots=True)
class Found:
    """Who of `looked_at` machines is meant; `unknown` counts, by fact, those of which it is not known."""

    looked_at: int = 0
    names: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of one machine: `values` are those that decided, as people read them; `unknown` a fact it lacks."""

    true: bool
    values: str
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition; made by `compile_condition`."""

    text: str
    program: cel.Program
    facts: tuple[str, ...]
    entries: dict[str, frozenset[str]]
    plain: bool
    _decoder: msgspec.json.Decoder[Any]

    @property
    def wants_software(self) -> bool:
        """Whether the facts must be told with the list of software among them (`content.software.joined`)."""
        return SOFTWARE in self.facts

    def find(self, rows: Iterable[tuple[str, str]], *, limit_s: float = TIME_LIMIT_S) -> Found:
        """Of machines (name, facts as JSON), those that are meant.

        Raises:
            UsageError: condition.slow, or condition.invalid: it makes no sense for one of them.
        """
        found = Found()
        now = time.thread_time()
        end, slow = now + limit_s, 0
        for number, (name, facts) in enumerate(rows, 1):
            found.looked_at = number
            if self._ask(name, facts, found.unknown):
                found.names.append(name)
            before, now = now, time.thread_time()
            slow += now - before > ONE_LIMIT_S
            if now > end or slow > 1:  # the first may have been slow for other reasons
                each = (
                    f"more than {ONE_LIMIT_S * 1000:.0f} ms for a machine" if slow > 1 else f"more than {limit_s:g} s"
                )
                raise UsageError(
                    code="condition.slow",
                    what=f"The condition costs too much: {each}; {number} were looked at.",
                    where=self.text,
                    todo="Make it simpler; `matches` is the slowest function, == and startsWith are fast.",
                )
        return found

    def is_true(self, name: str, facts: str) -> bool:
        """Whether the machine is meant; one for which it makes no sense is not."""
        try:
            return self._ask(name, facts, Counter())
        except UsageError:
            return False

    def test(self, name: str, facts: str) -> Tested:
        """Whether it is true of the machine, and the values that decided.

        Raises:
            UsageError: condition.invalid: it makes no sense for the machine.
        """
        unknown: Counter[str] = Counter()
        true = self._ask(name, facts, unknown)
        return Tested(true, self._values(facts), next(iter(unknown), ""))

    def _values(self, facts: str) -> str:
        """The facts that it asks for, and of maps the entries: "cpus = 4, packages.editor absent"."""
        said, parts = self._decoder.decode(facts), []
        for fact in self.facts:
            value, entries = getattr(said, fact), self.entries.get(fact)
            if isinstance(value, dict):
                asked = sorted(entries if entries is not None else value)[:_MOST_SHOWN]
                parts += [f"{fact}.{key} = {value[key]}" if key in value else f"{fact}.{key} absent" for key in asked]
            else:
                parts.append(f"{fact} unknown" if value is None else f"{fact} = {_shown(value)}")
        return ", ".join(parts)

    def _ask(self, name: str, facts: str, unknown: Counter[str]) -> bool:
        answer = self.value(name, facts, unknown)
        if answer is None:
            return False
        if not isinstance(answer, bool):
            raise UsageError(
                code="condition.invalid",
                what=f"The condition gives {type(answer).__name__} for {name}, not true or false.",
                where=self.text,
                todo='Compare it with something: where (distribution == "debian").',
            )
        return answer

    def value(self, name: str, facts: str, unknown: Counter[str]) -> object:
        """What it comes to for the machine; None, and counted in `unknown`, where a fact that it needs is not known.

        Raises:
            UsageError: condition.invalid: it makes no sense for the machine.
        """
        said = self._decoder.decode(facts)
        known: dict[str, Any] = {}
        for fact in self.facts:
            value = getattr(said, fact)
            if value is None:
                unknown[fact] += 1
                return None
            entries = self.entries.get(fact)
            known[fact] = value if entries is None else {key: value[key] for key in entries if key in value}
        try:
            answer = self.program.execute(known if self.plain else _with_functions(known))
        except KeyError as error:
            unknown[str(error.args[0]) if error.args else "?"] += 1
            return None
        except Exception as error:  # the library raises what fits: TypeError, ValueError, ZeroDivisionError, ...
            raise UsageError(
                code="condition.invalid",
                what=f"The condition makes no sense for {name}: {_first_line(error)}",
                where=self.text,
                todo=f"`tiercast inventory show {'NODE' if name == _NAME else name}` shows facts.",
            ) from error
        return answer


@lru_cache(maxsize=256)
def compile_condition(text: str) -> Condition:
    """The condition in `text`.

    Raises:
        UsageError: condition.long, .syntax, .macro, .function, .constant, .invalid or .slow, or fact.unknown.
    """
    condition = compile_value(text)
    condition.find([(_NAME, _FACTS)] * 3)
    return condition


def compile_value(text: str) -> Condition:
    """An expression over facts that may come to anything.

    Raises:
        UsageError: as `compile_condition`.
    """
    tokens = _tokens(text)
    _check_calls(text, tokens)
    try:
        program = _library().compile(text)
    except ValueError as error:
        raise _syntax(text, _first_line(error).split("ERROR: ")[-1]) from error
    facts = _check_facts(text, program.variables())
    plain = "compare" not in program.functions()
    return Condition(text, program, facts, _entries(tokens, facts), plain, _decoder_of(facts))


def _with_functions(known: dict[str, Any]) -> cel.Context:
    context: cel.Context = _library().Context(variables=known)
    context.add_function("compare", compare)
    return context


def _shown(value: object) -> str:
    """A fact's value: large numbers of bytes with three digits, or they would be another at every look."""
    if not isinstance(value, int) or value < _LARGE:
        return str(value)
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return str(value)


def _library() -> ModuleType:
    """The library, without its own command line: that would cost every server 18 MiB of what terminals need."""
    with _IMPORTING:
        held = sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
        try:
            import cel  # noqa: PLC0415 - late, see the rules
        finally:
            if held.__spec__ is None:
                del sys.modules["cel.cli"]
    return cel


def _tokens(text: str) -> list[_Token]:
    if len(text) > LONGEST:
        raise UsageError(
            code="condition.long",
            what=f"The condition is {len(text)} characters long; {LONGEST} are the most.",
            todo="Make groups of its parts: `tiercast group create NAME --where CONDITION`.",
        )
    found = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(text)]
    depth = deepest = 0
    for kind, word in found:
        if kind == "sign":
            depth += (word in "([{") - (word in ")]}")
            deepest = max(deepest, depth)
    if len(found) > MOST_WORDS or deepest > DEEPEST:
        raise UsageError(
            code="condition.long",
            what=f"The condition has {len(found)} words, {deepest} brackets deep; {MOST_WORDS} and {DEEPEST} are the"
            " most.",
            where=text[:200],
            todo="Make groups of its parts: `tiercast group create NAME --where CONDITION`.",
        )
    return found


def _check_calls(text: str, tokens: list[_Token]) -> None:
    pairs = pairwise(tokens)
    called = [name for (kind, name), (_, after) in pairs if kind == "word" and after == "("]
    called = [name for name in called if name not in _WORDS_OF_CEL and name not in FUNCTIONS]
    if not called:
        return
    macros = sorted(set(called) & _MACROS)
    raise UsageError(
        code="condition.macro" if macros else "condition.function",
        what=f"A condition can't loop: {', '.join(macros)}."
        if macros
        else f"Conditions know no function {', '.join(sorted(set(called)))}.",
        where=text,
        todo=f'Functions: {", ".join(FUNCTIONS)}. A map is asked with `in`: "editor" in packages.',
    )


def _check_facts(text: str, names: list[str]) -> tuple[str, ...]:
    unknown = sorted(set(names) - FACTS.keys())
    if unknown:
        like = difflib.get_close_matches(unknown[0], FACTS, n=1)
        near = f"Did you mean {like[0]!r}? " if like else ""
        raise UsageError(
            code="fact.unknown",
            what=f"No fact is called {', '.join(map(repr, unknown))}.",
            where=text,
            todo=f"{near}Facts: {', '.join(FACTS)}. Text stands in quotes.",
        )
    if not names:
        raise UsageError(
            code="condition.constant",
            what="The condition asks for no fact, so it is true of all or of none.",
            where=text,
            todo=f"Facts: {', '.join(FACTS)}. Text stands in quotes.",
        )
    return tuple(sorted(names))


def _entries(tokens: list[_Token], facts: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Of each map the entries that are asked for, where the condition does nothing else with it."""
    found: dict[str, frozenset[str]] = {}
    for name in set(_MAPS) & set(facts):
        keys = [_key_at(tokens, at) for at, token in enumerate(tokens) if token == ("word", name)]
        if None not in keys:
            found[name] = frozenset(key for key in keys if key is not None)
    return found


def _key_at(tokens: list[_Token], at: int) -> str | None:
    """The entry that is asked for by the map's name at `at`; None where it is not one entry."""
    before, after = tokens[max(0, at - 2) : at], tokens[at + 1 : at + 4]
    if before[-1:] == [("sign", ".")]:
        return None
    match after:
        case [("sign", "."), ("word", key), *rest] if rest[:1] != [("sign", "(")]:
            return key
        case [("sign", "["), ("text", quoted), ("sign", "]")]:
            return _plain(quoted)
        case [("sign", "." | "["), *_]:
            return None
    match before:
        case [("text", quoted), ("word", "in")]:
            return _plain(quoted)
    return None


def _plain(quoted: str) -> str | None:
    return None if "\\" in quoted or quoted[:1] in "rR" or quoted[:3] in {"'''", '"""'} else quoted[1:-1]


def _decoder_of(facts: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Reads these facts, and nothing else, out of the JSON of all; None for those that are not there."""
    types = {field.name: field.type for field in msgspec.structs.fields(Facts)} | {SOFTWARE: dict[str, str]}
    wanted = [(name, types[name] | None, None) for name in facts]
    return msgspec.json.Decoder(msgspec.defstruct("Wanted", wanted))


def _syntax(text: str, reason: str) -> UsageError:
    place = ""
    if found := _PARSER_SAYS.fullmatch(reason):
        at, said = found.groups()
        place, reason = f" at column {at}", "something is missing at its end" if "<EOF>" in said else said
    return UsageError(
        code="condition.syntax",
        what=f"The condition can't be read{place}: {reason}",
        where=text,
        todo='As in: memory >= 8000000000 && distribution == "debian" && !("editor" in packages).',
    )


#: What the library says where kinds don't fit.
_NO_OVERLOAD = "No such overload: the operation is not defined for the given operand types"


def _first_line(error: Exception) -> str:
    """The library's first sentence or line, without advice about casts that conditions have another word for."""
    first = (str(error).splitlines() or [""])[0]
    first = first.replace(_NO_OVERLOAD, "values of two kinds are compared or reckoned with, as a text with a number")
    return first.split(". CEL ")[0][:300]
