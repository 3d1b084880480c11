"""Conditions and the owner's limits are refused where they can't work, and the package's words stand in every order."""

from __future__ import annotations

from typing import Any

import pytest

from tiercast_protocol.content.package.definition import Definition, canonical
from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.checks import Request
from tiercast_server.jobs.proviso_checks import Options, check_provisos, completed

HOUR = 3_600_000
SEALED = canonical(Definition("app", "1", condition="cpus > 1", requires=("base >= 2",), conflicts=("rival",)))
OWN = {"package_condition": "cpus > 1", "package_requires": "base >= 2", "package_conflicts": "rival"}


@pytest.mark.parametrize(
    ("type_", "options", "code"),
    [
        ("message", {"condition": "cpus > 1"}, "provisos.type"),
        ("preload", {"rejectable": True}, "provisos.type"),
        ("run", {"condition_false": "skip"}, "provisos.condition-false"),
        ("install", {"condition": "speed > 1"}, "fact.unknown"),
        ("install", {"condition": "cpus >"}, "condition.syntax"),
        ("remove", {"condition": "packages.all(p, true)"}, "condition.macro"),
        ("install", {"defer_max": -1}, "provisos.defer-max"),
    ],
)
def test_what_can_not_work_is_refused(type_: str, options: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_provisos(type_, options)
    assert caught.value.code == code
    assert caught.value.todo


def test_what_can_is_not() -> None:
    check_provisos("install", {"condition": "cpus > 1", "condition_false": "skip", "defer_max": 0, "priority": 3})
    check_provisos("install", {"condition_false": "skip"})
    check_provisos("message", {"text": "x"})


def test_the_packages_words_stand_in_its_orders_whatever_was_asked() -> None:
    asked: dict[str, str | int | bool] = {"package_condition": "true", "priority": 3}
    assert completed("install", asked, SEALED, HOUR, 2 * HOUR) == {"priority": 3, **OWN}
    assert completed("remove", asked, SEALED, HOUR, 2 * HOUR) == {"priority": 3}
    assert completed("run", {}, "", HOUR, 2 * HOUR) == {}


@pytest.mark.parametrize(("until", "words"), [(HOUR, "is over"), (9 * HOUR, "after the job's expiry")])
def test_a_last_moment_must_be_one(until: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        completed("install", {"defer_until": until}, "", HOUR, 8 * HOUR)
    assert completed("install", {"defer_until": 8 * HOUR}, "", HOUR, 8 * HOUR) == {"defer_until": 8 * HOUR}


async def test_they_are_signed_with_the_order(world: Any) -> None:
    await world.package("app", "1", definition=SEALED)
    await world.join("pc1")
    await world.says("pc1", packages={"base": "2"})
    options = {"condition": "memory > 1", "rejectable": True}
    await world.jobs.create(Request(type="install", package="app", by="t", targets=("pc1",), options=options))
    await world.handover.drain()
    ((order, _),) = world.orders()
    assert order.options == options | OWN
    with pytest.raises(UsageError, match="defer-until"):
        await world.jobs.create(
            Request(type="run", package="", by="t", targets=("pc1",), options={"argv": '["x"]', "defer_until": 1})
        )


def test_an_offer_says_what_it_is_and_how_large() -> None:
    sealed = canonical(Definition("a", "1", description="An editor for plain text"))
    asked: Options = {"package_about": "forged", "package_size": 1}
    found = completed("offer", asked, sealed, HOUR, 2 * HOUR, 5_000)
    assert found == {"package_about": "An editor for plain text", "package_size": 5_000}
    assert completed("install", asked, sealed, HOUR, 2 * HOUR, 5_000) == {}
