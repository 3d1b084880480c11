"""The schema says what the reader reads, key by key."""

from __future__ import annotations

import json
from dataclasses import fields

from tiercast_cli.packager.schema import schema
from tiercast_protocol.content.package.actiontypes import TYPES
from tiercast_protocol.content.package.definition import Definition


def test_keys_are_those_of_a_definition() -> None:
    assert schema()["properties"].keys() == {field.name for field in fields(Definition)}


def test_actions_are_those_of_the_table() -> None:
    actions = schema()["properties"]["action"]["items"]["oneOf"]
    assert {one["properties"]["type"]["const"]: set(one["properties"]) - {"type"} for one in actions} == {
        name: set(found.keys) for name, found in TYPES.items()
    }


def test_it_is_json() -> None:
    assert json.loads(json.dumps(schema())) == schema()
