"""What an order leaves to the machine and to its owner: conditions, needs, and how far it may be put off.  Pure.

Rules (docs/jobs.md, "Conditions"; docs/on-the-endpoint.md, "The owner's word")
- They are words of an order's options, signed with it.  The package's own stand in its sealed definition too; the
  server writes them into the order, so that a machine for which they don't hold fetches nothing to find that out.
- What can't be read, or names what no machine knows, is refused where it is ordered, and again by the endpoint.
- Nothing said: no condition, the owner may put it off as he likes until it expires, and may not reject it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiercast_protocol.content.facts.condition import compile_condition
from tiercast_protocol.content.facts.versions import Requirement, read_requirement
from tiercast_protocol.content.jobs.jobtypes import OFFER
from tiercast_protocol.content.package.check import Check, unpacked
from tiercast_protocol.content.package.definition import MOST_REQUIREMENTS
from tiercast_protocol.content.package.replacing import RULES
from tiercast_protocol.errors import UsageError

CONDITION, CONDITION_FALSE = "condition", "condition_false"
PACKAGE_CONDITION, REQUIRES, CONFLICTS = "package_condition", "package_requires", "package_conflicts"
#: The package's own check, where it needs nothing but the machine.
CHECK = "package_check"
#: Of an offer: what it is, in the words of the package, and its bytes once installed.
ABOUT, SIZE = "package_about", "package_size"
BEFORE, ORDER, PACKAGE_REPLACE = "package_before", "package_order", "package_replace"
REPLACE = "replace"
#: The offer that a package comes with: it is what that one needs, and waits for the owner as that does.
WITH_OFFER = "with_offer"
#: Of a removal: also where other packages need it.  It only widens, so whoever does not know it may pass it over.
THOUGH_NEEDED = "though_needed"
DEFER_MAX, DEFER_UNTIL, REJECTABLE = "defer_max", "defer_until", "rejectable"
#: What administrators say; the others are the package's.
JOB_WORDS = frozenset({CONDITION, CONDITION_FALSE, DEFER_MAX, DEFER_UNTIL, REJECTABLE, REPLACE})
PACKAGE_WORDS = frozenset({PACKAGE_CONDITION, CHECK, REQUIRES, CONFLICTS, BEFORE, ORDER, PACKAGE_REPLACE})
OFFER_WORDS = frozenset({ABOUT, SIZE})
WORDS = JOB_WORDS | PACKAGE_WORDS | OFFER_WORDS
_HANGS = frozenset({CONDITION, PACKAGE_CONDITION, REQUIRES, CONFLICTS, REPLACE, PACKAGE_REPLACE, WITH_OFFER})

WAIT, SKIP = "wait", "skip"
MOST_DEFERRALS = 1000
_LAST_MOMENT = 1 << 53


@dataclass(frozen=True, slots=True)
class Provisos:
    """What an order says of them.

    Attributes:
        conditions: all must be true; of the job, then of the package.
        skip: where one is false the order ends as skipped; else it waits.
        check: of the package, where it needs nothing but the machine.
        requires, conflicts: packages that must, and must not, be installed.
        defer_max: how often the owner may defer it; None is as he likes.
        defer_until: and until when at most, in milliseconds since 1970; 0 is until it expires.
        rejectable: whether he may reject it.
        before: packages that are installed after this one, where both are to be.
        order: of the package's versions; "" is plain.
        with_offer: the job of the offer that it comes with, "" for none.
        replace: what it may replace, one of `replacing.RULES`; "" where neither job nor package says.
    """

    conditions: tuple[str, ...] = ()
    skip: bool = False
    check: Check | None = None
    requires: tuple[Requirement, ...] = ()
    conflicts: tuple[Requirement, ...] = ()
    defer_max: int | None = None
    defer_until: int = 0
    rejectable: bool = False
    before: tuple[str, ...] = ()
    order: str = ""
    replace: str = ""
    with_offer: str = ""

    @property
    def limited(self) -> bool:
        """Whether there is a limit to putting it off."""
        return self.defer_max is not None or bool(self.defer_until)


def read(options: Mapping[str, object]) -> Provisos:
    """What `options` say; other words are passed over, and conditions are not compiled.

    Raises:
        UsageError: provisos.*, requirement.invalid.
    """
    conditions = [_text(options, CONDITION), _text(options, PACKAGE_CONDITION)]
    false = _text(options, CONDITION_FALSE) or WAIT
    if false not in {WAIT, SKIP}:
        raise _wrong(CONDITION_FALSE, false, f"{WAIT} or {SKIP}")
    most, rejectable = options.get(DEFER_MAX), options.get(REJECTABLE, False)
    if most is not None and (type(most) is not int or not 0 <= most <= MOST_DEFERRALS):
        raise _wrong(DEFER_MAX, most, f"a whole number from 0 to {MOST_DEFERRALS}")
    until = options.get(DEFER_UNTIL, 0)
    if type(until) is not int or not 0 <= until < _LAST_MOMENT:
        raise _wrong(DEFER_UNTIL, until, "a time")
    if not isinstance(rejectable, bool):
        raise _wrong(REJECTABLE, rejectable, "true or false")
    replace = _text(options, REPLACE)
    if replace and replace not in RULES:
        raise _wrong(REPLACE, replace, f"one of {', '.join(RULES)}")
    return Provisos(
        conditions=tuple(dict.fromkeys(one for one in conditions if one)),
        skip=false == SKIP,
        check=unpacked(checked) if (checked := _text(options, CHECK)) else None,
        requires=_requirements(options, REQUIRES),
        conflicts=_requirements(options, CONFLICTS),
        defer_max=most,
        defer_until=until,
        rejectable=rejectable,
        before=names_of(_text(options, BEFORE)),
        order=_text(options, ORDER),
        with_offer=_text(options, WITH_OFFER),
        replace=replace or _text(options, PACKAGE_REPLACE),
    )


def check(options: Mapping[str, object]) -> Provisos:
    """The same, with every condition compiled (CPU: some milliseconds the first time).

    Raises:
        UsageError: as `read`; condition.*, fact.unknown.
    """
    found = read(options)
    for condition in found.conditions:
        compile_condition(condition)
    return found


def hangs_on(type_: str, options: Mapping[str, object]) -> bool:
    """Whether a machine's facts or its owner may keep an order from being carried out: it may never be wanted."""
    return type_ == OFFER or not options.keys().isdisjoint(_HANGS)


def requirements_text(requirements: tuple[Requirement, ...]) -> str:
    """As the options have them."""
    return ", ".join(map(str, requirements))


def names_of(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _text(options: Mapping[str, object], word: str) -> str:
    text = options.get(word, "")
    if not isinstance(text, str):
        raise _wrong(word, text, "a text")
    return text.strip()


def _requirements(options: Mapping[str, object], word: str) -> tuple[Requirement, ...]:
    parts = [part for part in _text(options, word).split(",") if part.strip()]
    if len(parts) > MOST_REQUIREMENTS:
        raise _wrong(word, f"{len(parts)} of them", f"at most {MOST_REQUIREMENTS}")
    return tuple(map(read_requirement, parts))


def _wrong(word: str, value: object, expected: str) -> UsageError:
    name = word.replace("_", "-")
    return UsageError(
        code=f"provisos.{name}",
        what=f"{name} is {str(value)[:80]!r}.",
        todo=f"It must be {expected}. Nothing was done.",
    )
