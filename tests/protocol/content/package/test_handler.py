"""The section of a package that installs things of some kind."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.package.definition import canonical, parse_definition
from tiercast_protocol.content.package.handler import Handler
from tiercast_protocol.errors import ConfigError

TEXT = """name = "npm"
version = "1"
[handler]
install = ["./install.sh"]
remove = ["./remove.sh", "--force"]
query = ["/usr/bin/test"]
timeout = "1m"
"""


def test_a_handler_is_read_and_written_again() -> None:
    definition = parse_definition(TEXT)
    assert definition.handler == Handler(
        ("./install.sh",), ("./remove.sh", "--force"), ("/usr/bin/test",), timeout_s=60
    )
    assert parse_definition(canonical(definition)) == definition
    assert parse_definition('name = "a"\nversion = "1"\n').handler is None


def test_a_handler_lacks_no_program() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition('name = "a"\nversion = "1"\n[handler]\ninstall = ["x"]\nextra = 1\n')
    found = sorted(m.key for m in caught.value.mistakes)
    assert found == ["handler.extra", "handler.install", "handler.query", "handler.remove"]
