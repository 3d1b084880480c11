"""A package's check: read, refused with its keys, written again, and carried by an order."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package.check import Check, check_lines, packed, read_check, unpacked
from tiercast_protocol.content.package.definition import Definition, canonical, parse_definition
from tiercast_protocol.content.package.reader import Reader
from tiercast_protocol.errors import ConfigError, UsageError

CHECK = Check(("/usr/bin/test", "-e", "/opt/licence"), 30, 60, 1024, "machine")


def read(text: str) -> tuple[Check | None, list[str]]:
    reader = Reader(tomllib.loads(text))
    return read_check(reader), [one.key for one in reader.mistakes]


def test_read_and_written() -> None:
    assert read("") == (None, [])
    assert read("\n".join(check_lines(CHECK))) == (CHECK, [])
    definition = Definition("a", "1", check=CHECK)
    assert parse_definition(canonical(definition)) == definition


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('argv = "x"', "check.argv"),
        ('argv = ["../x"]', "check.argv"),
        ('argv = ["./x"]\nneeds = "machine"', "check.argv"),
        ('argv = ["./x"]\nneeds = "luck"', "check.needs"),
        ('argv = ["./x"]\ntimeout = "1h"', "check.timeout"),
        ('argv = ["./x"]\nevery = "0s"', "check.every"),
        ('argv = ["./x"]\nidempotent = true', "check.idempotent"),
    ],
)
def test_refused(line: str, key: str) -> None:
    assert key in read(f"[check]\n{line}")[1]


def test_an_order_carries_it() -> None:
    assert unpacked(packed(CHECK)) == CHECK


@given(
    st.text() | st.sampled_from(['{"argv":["./x"]}', '{"argv":[]}', '{"argv":["/x"],"timeout_s":-1,"needs":"machine"}'])
)
def test_whatever_an_order_says_is_a_check_or_refused(text: str) -> None:
    with pytest.raises(UsageError):
        unpacked(text)


def test_variables_are_for_checks_that_are_asked_once_the_package_is_there() -> None:
    head = 'name = "a"\nversion = "1"\n[variables.port]\ndefault = "80"\n[check]\n'
    definition = parse_definition(head + 'argv = ["./x", "${port}"]\n')
    assert definition.check is not None
    for wrong in ('argv = ["/x", "${port}"]\nneeds = "machine"', 'argv = ["./x", "${porto}"]'):
        with pytest.raises(ConfigError, match=r"check\.argv"):
            parse_definition(head + wrong)
