"""What `package init` writes can be built as it stands, and with every comment taken for its word."""

from __future__ import annotations

import re
import tomllib

import pytest

from tiercast_cli.packager.schema import schema
from tiercast_cli.packager.template import SCHEMA_FILE, template
from tiercast_protocol.content.package.definition import Definition, parse_definition


@pytest.mark.parametrize("name", ["editor", 'a"b'])
def test_as_it_stands(name: str) -> None:
    text = template("editor", "1.0")
    assert parse_definition(text) == Definition("editor", "1.0")
    assert text.startswith(f"#:schema ./{SCHEMA_FILE}\n")
    assert name in template(name, "1").replace("\\", "")


def uncommented() -> str:
    return re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", template("editor", "1.0"))


def test_every_key_has_its_line() -> None:
    assert set(tomllib.loads(uncommented())) == set(schema()["properties"])


def test_every_commented_line_is_right() -> None:
    text = uncommented()
    found = parse_definition(text)
    assert found.revision == 2
    assert found.requires == ("runtime >= 2", "fonts")
    assert [one.name for one in found.variables] == ["port", "site"]
    assert found.files[0].folder == "amd64"
    assert found.run_after is not None
    assert found.run_after.idempotent
