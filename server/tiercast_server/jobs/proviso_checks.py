"""What can't work of an order's conditions and of what it leaves to the owner: refused when it is ordered.

Rules (docs/jobs.md, "Conditions")
- What the package's sealed definition says is written into every order of it, whatever the request said of that: so
  endpoints know it before they fetch anything.
- Only what changes a machine can be put off or hang on a condition.
- A last moment that is over, or lies beyond the job's expiry, is refused with both moments.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiercast_protocol.content.facts.versions import PLAIN
from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.content.jobs.jobtypes import OFFER
from tiercast_protocol.content.package.check import MACHINE, packed
from tiercast_protocol.content.package.definition import Definition, parse_definition
from tiercast_protocol.content.package.replacing import ANY
from tiercast_protocol.errors import UsageError
from tiercast_protocol.transfer import calendar

#: Types of job that conditions and owners have a say in; and of these the ones that install a package.
TYPES = ("install", OFFER, "remove", "run", "restart", "shutdown", "reboot")
INSTALLING = ("install", OFFER)
Options = dict[str, str | int | bool]
#: Longest description of a package that goes with an offer of it.
_LONGEST_ABOUT = 300


def check_provisos(type_: str, options: Mapping[str, object]) -> None:
    """Refuse words that can't be read, or are not for this type (CPU: compiles conditions).

    Raises:
        UsageError: provisos.*, condition.*, fact.unknown.
    """
    said = sorted(provisos.JOB_WORDS & options.keys())
    if said and type_ not in TYPES:
        raise UsageError(
            code="provisos.type",
            what=f"{said[0].replace('_', '-')} is for what changes a machine; {type_} does not.",
            todo=f"It is for these types: {', '.join(TYPES)}. Nothing was done.",
        )
    if provisos.REPLACE in said and type_ not in INSTALLING:
        raise UsageError(
            code="provisos.replace",
            what=f"replace is for what installs a package; {type_} does not.",
            todo="Leave --replace out. Nothing was done.",
        )
    if provisos.CONDITION_FALSE in said and provisos.CONDITION not in said and type_ not in INSTALLING:
        raise UsageError(
            code="provisos.condition-false",
            what="The job says what to do where its condition is not true, and has none.",
            todo="Add --condition, or leave --condition-false out. Nothing was done.",
        )
    provisos.check({word: options[word] for word in said})


def completed(type_: str, options: Options, definition: str, now: int, expires: int, size: int = 0) -> Options:
    """The options with the package's own words; `now` and `expires` in milliseconds since 1970, `size` in bytes.

    Raises:
        UsageError: provisos.defer-until.
    """
    until = options.get(provisos.DEFER_UNTIL)
    if isinstance(until, int) and not now < until <= expires:
        what = "is over" if until <= now else f"is after the job's expiry, {calendar.moment(expires / 1000)}"
        raise UsageError(
            code="provisos.defer-until",
            what=f"defer-until is {calendar.moment(until / 1000)}, which {what}.",
            todo="Give a time between now and the job's expiry. Nothing was done.",
        )
    own = {word: value for word, value in options.items() if word not in provisos.PACKAGE_WORDS | provisos.OFFER_WORDS}
    if type_ not in INSTALLING or not definition:
        return own
    package = parse_definition(definition)
    about: Options = {provisos.ABOUT: package.description[:_LONGEST_ABOUT], provisos.SIZE: size}
    shown = {word: value for word, value in about.items() if value} if type_ == OFFER else {}
    return own | of_package(package) | shown


def of_package(definition: Definition) -> Options:
    """What the definition says, as an order's options have it."""
    said: dict[str, str] = {
        provisos.PACKAGE_CONDITION: definition.condition,
        provisos.REQUIRES: ", ".join(definition.requires),
        provisos.CHECK: packed(definition.check) if definition.check and definition.check.needs == MACHINE else "",
        provisos.CONFLICTS: ", ".join(definition.conflicts),
        provisos.BEFORE: ", ".join(definition.before),
        provisos.ORDER: definition.version_order if definition.version_order != PLAIN else "",
        provisos.PACKAGE_REPLACE: definition.replace if definition.replace != ANY else "",
    }
    return {word: text for word, text in said.items() if text}
