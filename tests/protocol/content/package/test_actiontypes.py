"""The table of action types keeps its own rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tiercast_protocol.content.package.actiontypes import FOLDERS, NATIVE, PATHS, PLACED, SETTINGS, TYPES, Action
from tiercast_protocol.content.package.definition import parse_definition


def test_every_type_says_what_it_is_about() -> None:
    for name, one in TYPES.items():
        assert one.class_ in {PLACED, NATIVE}
        assert set(one.identity) <= set(one.keys), name
        assert all(one.keys[key].default is None for key in one.identity), name
        assert (name in PATHS) == (one.class_ == PLACED)
    assert FOLDERS | SETTINGS <= PATHS


def test_the_reference_has_every_type_and_key_and_its_examples_are_right() -> None:
    page = (Path(__file__).parents[4] / "docs/actions.md").read_text()
    rows = {
        name: line
        for line in page.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")
    }
    for name, one in TYPES.items():
        assert name in rows, f"{name} has no row"
        base = rows["deb"] if name in {"rpm", "msi"} else ""
        for key in one.keys:
            assert f"`{key}`" in rows[name] + base, f"{name}.{key}"
    for text in re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL):
        definition = parse_definition(text)
        assert definition.action or definition.handler


def test_a_key_has_its_default_or_must_be_said() -> None:
    file = Action("file", (("path", "/a"), ("source", "x")))
    assert file.text("config") == "replace"
    assert file.shown == "file /a"
    assert file.identity == Action("link", (("path", "/a"), ("target", "x"))).identity == "path:/a"
    assert Action("ini", (("path", "/a"),)).identity == "settings:ini:/a"
    assert Action("deb", (("name", "a"),)).identity == "deb:a"
    with pytest.raises(KeyError):
        Action("file").text("path")
