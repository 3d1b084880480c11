"""Users and groups: made, adopted, refused, changed and taken away, by real programs in a root of the test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.endpoint.acting.site import Lab, act, lab

from tiercast_endpoint.acting.prefix import ActError
from tiercast_protocol.content.package.actiontypes import Action

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="accounts are root's")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        (made.top / "etc").mkdir()
        for path, text in ACCOUNTS.items():
            (made.top / path).write_text(text)
        made.files("one", {"a": b"A", "bad.sh": b"#!/bin/sh\nexit 1\n"})
        yield made


def user(name: str, **said: object) -> Action:
    return act("user", name=name, **said)


def accounts(site: Lab) -> dict[str, str]:
    return {path: (site.top / path).read_text() for path in ACCOUNTS}


def row(site: Lab, name: str) -> list[str]:
    return next(one for one in accounts(site)["etc/passwd"].splitlines() if one.startswith(f"{name}:")).split(":")


ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
    "etc/group": "root:x:0:\nvideo:x:44:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\n",
    "etc/gshadow": "root:*::\nvideo:!::\n",
}


async def test_users_and_groups_come_and_go(site: Lab) -> None:
    actions = [
        act("group", name="staffish"),
        act("user", name="app", group="staffish", groups=["video"], home="/var/lib/app", comment="The app"),
        act("group", name="video"),
        act("file", path="/var/lib/app/a", source="a", owner="app", group="staffish"),
    ]
    done = await site.settled(1, "one", *actions)
    assert row(site, "app")[4:] == ["The app", "/var/lib/app", "/usr/sbin/nologin"]
    assert "video:x:44:app" in (site.top / "etc/group").read_text()
    assert (site.top / "var/lib/app/a").stat().st_uid == int(row(site, "app")[2])
    assert [one.did for one in done.actions] == ["made", "made", "was there, as it is to be; left as it is", "placed"]
    done = await site.settled(2, "one")
    assert accounts(site) == ACCOUNTS
    assert not (site.top / "var").exists()


SH = "/bin/sh"
OWN = ACCOUNTS | {
    "etc/passwd": ACCOUNTS["etc/passwd"] + "own:x:700:44:Somebody:/srv/own:/bin/sh\n",
    "etc/shadow": ACCOUNTS["etc/shadow"] + "own:!:19000::::::\n",
}


async def test_a_user_of_the_machine_is_adopted_where_it_is_what_the_definition_says(site: Lab) -> None:
    for path, text in OWN.items():
        (site.top / path).write_text(text)
    as_it_is = user("own", group="video", home="/srv/own", shell=SH)
    for n, said in enumerate((as_it_is, user("own", groups=["video"])), 1):
        done = await site.settled(2 * n, "one", said, act("file", path="/srv/a", source="a", owner="own"))
        assert done.actions[0].did == "was there, as it is to be; left as it is"
        assert (site.top / "srv/a").stat().st_uid == 700
        done = await site.settled(2 * n + 1, "one")
        assert done.actions[-1].did == "taken back; left, as it was there before"
        assert accounts(site) == OWN


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"home": "/home/own"}, "its home is '/srv/own', not '/home/own'"),
        (
            {"shell": "/bin/false", "group": "root"},
            "its shell is '/bin/sh', not '/bin/false', its group is 'video', not 'root'",
        ),
        ({"groups": ["root"]}, "its groups is '', not 'root'"),
    ],
)
async def test_a_user_of_the_machine_that_is_another_is_left_and_refused(
    site: Lab, said: dict[str, object], words: str
) -> None:
    for path, text in OWN.items():
        (site.top / path).write_text(text)
    with pytest.raises(ActError) as caught:
        await site.apply(1, "one", act("file", path="/srv/a", source="a"), user("own", **said))
    assert (caught.value.code, words in caught.value.detail) == ("user.differs", True), caught.value.detail
    await site.revert(1, "one")
    assert accounts(site) == OWN
    assert not (site.top / "srv").exists()


async def test_a_user_of_the_package_follows_its_newer_versions_and_goes_back_with_them(site: Lab) -> None:
    await site.settled(1, "one", user("app", home="/srv/one"))
    first = accounts(site)
    newer = user("app", home="/srv/two", shell=SH, groups=["video"])
    with pytest.raises(ActError):
        await site.apply(2, "one", newer, act("program", name="bad", argv=["./bad.sh"]))
    assert row(site, "app")[5:] == ["/srv/two", "/bin/sh"]
    assert "video:x:44:app" in accounts(site)["etc/group"]
    await site.revert(2, "one")
    assert row(site, "app")[5:] == ["/srv/one", "/usr/sbin/nologin"]
    assert accounts(site) == first
    done = await site.settled(3, "one", user("app", home="/srv/two"))
    assert done.actions[0].did == "changed: home"
    await site.settled(4, "one")
    assert accounts(site) == ACCOUNTS


@pytest.mark.parametrize("first", ["app", "other"])
async def test_a_user_that_two_packages_name_goes_with_the_last_of_them(site: Lab, first: str) -> None:
    second = {"app": "other", "other": "app"}[first]
    await site.settled(1, "one", user("both"), package="app")
    done = await site.settled(2, "one", user("both"), package="other")
    assert done.actions[0].did == "was there, as it is to be; left as it is"
    made = row(site, "both")
    # A removal that goes wrong later and is undone changes nothing of it.
    await site.apply(3, "one", package=first)
    await site.revert(3, "one", package=first)
    assert row(site, "both") == made
    done = await site.settled(4, "one", package=first)
    assert done.actions[-1].did == f"taken back; left to the package {second!r}, which names it too"
    assert row(site, "both") == made
    await site.settled(5, "one", package=second)
    assert accounts(site) == ACCOUNTS
