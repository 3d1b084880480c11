"""Variables in actions: where they are filled in, where they are not, and what is undeclared."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.package.actionfill import filled, texts_of
from tiercast_protocol.content.package.actiontypes import Action
from tiercast_protocol.content.package.definition import parse_definition
from tiercast_protocol.errors import ConfigError, UsageError

VALUES = {"port": "80 80", "x": "${port}"}
HEAD = 'name = "a"\nversion = "1"\n[variables]\nport = "80"\n'


def test_arguments_settings_and_texts() -> None:
    program = Action(
        "program", (("name", "n-${port}"), ("argv", ("/bin/${port}", "-p", "${port}")), ("undo", ("/x", "${x}")))
    )
    assert filled(program, VALUES).values == (
        ("name", "n-${port}"),
        ("argv", ("/bin/${port}", "-p", "80 80")),
        ("undo", ("/x", "${port}")),
    )
    settings = Action(
        "json", (("path", "/etc/${port}"), ("set", (("a.b", "${port}"), ("c", (1, "${port}")), ("d", 5))))
    )
    assert filled(settings, VALUES).values == (
        ("path", "/etc/${port}"),
        ("set", (("a.b", "80 80"), ("c", (1, "80 80")), ("d", 5))),
    )
    link = Action("link", (("path", "/a"), ("target", "/b/${port}")))
    assert filled(link, VALUES).text("target") == "/b/80 80"
    assert filled(link, {}) == link


def test_texts_that_may_hold_them() -> None:
    program = Action("program", (("name", "n"), ("argv", ("/bin/x", "${a}")), ("timeout", 5)))
    assert list(texts_of(program)) == [("argv", "${a}")]


def test_what_nobody_declares_is_a_mistake_of_the_definition() -> None:
    text = HEAD + '[[action]]\ntype = "program"\nname = "n"\nargv = ["/bin/x", "${port}"]\n'
    (action,) = parse_definition(text).action
    assert filled(action, {"port": "1"}).texts("argv") == ("/bin/x", "1")
    with pytest.raises(ConfigError, match=r"line 8, action\[1\].argv: uses \$\{prot\}"):
        parse_definition(text.replace("${port}", "${prot}"))
    with pytest.raises(UsageError):
        filled(action, {"other": "1"})


def test_the_program_that_confirms_has_them_too() -> None:
    text = HEAD + '[confirm]\nargv = ["/bin/x", "${prot}"]\n'
    with pytest.raises(ConfigError, match=r"line 6, confirm.argv: uses \$\{prot\}"):
        parse_definition(text)
