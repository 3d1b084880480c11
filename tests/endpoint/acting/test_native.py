"""What a native action is, before it does anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.endpoint.acting.site import act

from tiercast_endpoint.acting.native import Native, Site, Tools
from tiercast_endpoint.acting.natives import NATIVES
from tiercast_endpoint.acting.prefix import Prefix
from tiercast_protocol.content.package.actiontypes import NATIVE, TYPES


def site(prefix: Path, tools: Tools) -> Site:
    nobody: Any = None
    return Site(Prefix(prefix), Path("/"), nobody, tools, nobody)


def test_services_are_those_of_the_machine_itself_only(tmp_path: Path) -> None:
    assert site(Path("/"), Tools()).live
    assert not site(tmp_path, Tools()).live
    assert site(tmp_path, Tools(live=True)).live


async def test_one_that_does_nothing_has_nothing_to_take_back(tmp_path: Path) -> None:
    native = Native(act("group", name="app"), site(tmp_path, Tools()))
    assert (await native.look(), await native.do({}), await native.remove({}), await native.again()) == (
        {},
        "",
        "",
        True,
    )
    await native.settle({})


def test_every_native_type_has_somebody_who_does_it() -> None:
    assert set(NATIVES) == {name for name, one in TYPES.items() if one.class_ == NATIVE}
