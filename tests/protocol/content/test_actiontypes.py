"""The table of action types keeps its own rules."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.actiontypes import FOLDERS, NATIVE, PATHS, PLACED, SETTINGS, TYPES, Action


def test_every_type_says_what_it_is_about() -> None:
    for name, one in TYPES.items():
        assert one.class_ in {PLACED, NATIVE}
        assert set(one.identity) <= set(one.keys), name
        assert all(one.keys[key].default is None for key in one.identity), name
        assert (name in PATHS) == (one.class_ == PLACED)
    assert FOLDERS | SETTINGS <= PATHS


def test_a_key_has_its_default_or_must_be_said() -> None:
    file = Action("file", (("path", "/a"), ("source", "x")))
    assert file.text("config") == "replace"
    assert file.shown == "file /a"
    assert file.identity == Action("link", (("path", "/a"), ("target", "x"))).identity == "path:/a"
    assert Action("ini", (("path", "/a"),)).identity == "settings:ini:/a"
    assert Action("deb", (("name", "a"),)).identity == "deb:a"
    with pytest.raises(KeyError):
        Action("file").text("path")
