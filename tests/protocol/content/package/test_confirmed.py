"""The section `[confirm]` of a definition: read, written again, and every mistake named."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.package.confirmed import Confirmation
from tiercast_protocol.content.package.definition import canonical, parse_definition
from tiercast_protocol.errors import ConfigError

HEAD = 'name = "a"\nversion = "1"\n'


def test_it_is_read_and_written_as_it_is() -> None:
    text = HEAD + '[confirm]\nargv = ["./ok.sh", "-q"]\nwithin = "2m"\nevery = "5s"\nneeds_gateway = true\n'
    found = parse_definition(text)
    assert found.confirm == Confirmation(("./ok.sh", "-q"), within_s=120, every_s=5, needs_gateway=True)
    assert parse_definition(canonical(found)) == found
    assert "confirm" not in canonical(parse_definition(HEAD)), "what is not said changes no digest"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('within = "10m"', "confirm.argv"),
        ('argv = ["./a"]\nwithin = "10 fortnights"', "confirm.within"),
        ('argv = ["./a"]\nwithin = "5s"\nevery = "6s"', "confirm.every"),
        ('argv = ["./a"]\nneeds_gateway = "maybe"', "confirm.needs_gateway"),
        ('argv = ["./a"]\nwithing = "5s"', "confirm.withing"),
        ('argv = ["../a"]', "confirm.argv"),
    ],
)
def test_every_mistake_is_named(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition(f"{HEAD}[confirm]\n{text}\n")
    assert [one.key for one in caught.value.mistakes] == [key]
