"""Whether a machine restarts: the order goes before the definition, and what can't be is refused."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.jobs.understood import must_of
from tiercast_protocol.content.package.definition import canonical, parse_definition
from tiercast_protocol.content.package.reboots import MODES, check, mode_of
from tiercast_protocol.errors import ConfigError, UsageError

HEAD = 'name = "a"\nversion = "1"\n'


def test_an_order_goes_before_the_definition() -> None:
    assert mode_of({}, "no") == ""
    assert mode_of({}, "now") == "now"
    assert mode_of({"reboot": "no"}, "now") == ""
    assert mode_of({"reboot": "ask"}, "no") == "ask"
    assert mode_of({"reboot": "soon"}, "no") == ""
    assert must_of({"reboot": "ask"}) == ["reboot"]


def test_it_is_read_and_written() -> None:
    for mode in MODES:
        found = parse_definition(f'{HEAD}reboot = "{mode}"\n')
        assert found.reboot == mode
        assert parse_definition(canonical(found)) == found
    with pytest.raises(ConfigError, match="reboot"):
        parse_definition(f'{HEAD}reboot = "soon"\n')


@pytest.mark.parametrize(("type_", "mode", "code"), [("remove", "now", "reboot.type"), ("install", 3, "reboot.mode")])
def test_what_can_not_be_is_refused(type_: str, mode: object, code: str) -> None:
    check(type_, {})
    check("install", {"reboot": "now"})
    with pytest.raises(UsageError) as caught:
        check(type_, {"reboot": mode})
    assert caught.value.code == code
