"""Ordered actions of a definition: read, compared, written again."""

from __future__ import annotations

import tomllib

import pytest

from tiercast_protocol.content.package.actionread import handlers_of, pack_actions, unpack_actions
from tiercast_protocol.content.package.actiontypes import TYPES
from tiercast_protocol.content.package.definition import canonical, parse_definition
from tiercast_protocol.errors import ConfigError

HEAD = 'name = "app"\nversion = "1.0"\n'
ALL = (
    HEAD
    + """
[[action]]
type = "group"
name = "app"
[[action]]
type = "user"
name = "app"
group = "app"
groups = ["video"]
home = "/var/lib/app"
comment = "the app's own"
[[action]]
type = "directory"
path = "/var/lib/app"
mode = "0750"
owner = "app"
[[action]]
type = "file"
path = "/etc/app/app.conf"
source = "etc/app.conf"
config = "merge"
mode = "640"
[[action]]
type = "files"
path = "/usr/share/app"
source = "share"
[[action]]
type = "link"
path = "/usr/bin/app"
source = "bin/app"
[[action]]
type = "ini"
path = "/etc/other.ini"
set = { "server.port" = "80", "server.name" = "a b" }
unset = ["server.old"]
[[action]]
type = "json"
path = "/etc/other.json"
set = { a.b = 1, a.c = [1, "two"], d = true, e = 1.5 }
[[action]]
type = "archive"
path = "/opt/data"
source = "data.tar.gz"
strip = "1"
[[action]]
type = "wheel"
path = "/opt/site"
sources = ["a.whl", "b.whl"]
[[action]]
type = "site"
path = "/srv/updates"
source = "site"
[[action]]
type = "deb"
name = "hello"
source = "hello.deb"
timeout = "5m"
[[action]]
type = "msi"
name = "Editor"
source = "editor.msi"
properties = { INSTALLDIR = "C:\\\\Editor" }
[[action]]
type = "handler"
handler = "npm"
name = "left-pad"
properties = { registry = "none" }
[[action]]
type = "unit"
name = "app.service"
source = "app.service"
started = false
[[action]]
type = "program"
name = "index"
argv = ["./hooks/index.sh", "--all"]
undo = ["./hooks/unindex.sh"]
exits = [3, 0]
timeout = "2m"
output_limit = "4KiB"
"""
)


def test_every_type_is_read_and_written_again() -> None:
    definition = parse_definition(ALL)
    text = canonical(definition)
    assert parse_definition(text) == definition
    assert canonical(parse_definition(text)) == text
    assert unpack_actions(pack_actions(definition.action)) == definition.action
    assert {one.type for one in definition.action} == set(TYPES) - {"env", "toml", "rpm"}
    program = definition.action[-1]
    assert program.get("exits") == (0, 3)
    assert program.number("timeout") == 120
    assert definition.action[6].settings("set") == {"server.port": "80", "server.name": "a b"}
    assert definition.action[7].settings("set") == {"a.b": 1, "a.c": (1, "two"), "d": True, "e": 1.5}


def test_what_has_its_default_is_not_written() -> None:
    text = HEAD + '[[action]]\ntype = "directory"\npath = "/a"\nmode = "0755"\nowner = ""\n'
    with pytest.raises(ConfigError, match="owner"):
        parse_definition(text)
    definition = parse_definition(text.replace('owner = ""\n', ""))
    assert tomllib.loads(canonical(definition))["action"] == [{"type": "directory", "path": "/a"}]


def test_a_handler_is_required_by_whoever_names_it() -> None:
    definition = parse_definition(ALL)
    assert handlers_of(definition.action) == ["npm"]
    assert definition.requires == ("npm",)
    said = parse_definition(ALL.replace(HEAD, HEAD + 'requires = ["npm >= 2"]\n'))
    assert said.requires == ("npm >= 2",)


@pytest.mark.parametrize(
    ("table", "key", "part"),
    [
        ("", "action[1].type", "missing"),
        ('type = "fil"', "action[1].type", "'fil'"),
        ('type = "file"\npath = "/a/../b"\nsource = "x"', "action[1].path", "'/a/../b'"),
        ('type = "file"\npath = "a"\nsource = "x"', "action[1].path", "'a'"),
        ('type = "file"\npath = "/"\nsource = "x"', "action[1].path", "'/'"),
        ('type = "file"\npath = "/a"\nsource = "/x"', "action[1].source", "'/x'"),
        ('type = "file"\npath = "/a"', "action[1].source", "missing"),
        ('type = "file"\npath = "/a"\nsource = "x"\nmode = 644', "action[1].mode", "644"),
        ('type = "file"\npath = "/a"\nsource = "x"\nmode = "4755"', "action[1].mode", "'4755'"),
        ('type = "file"\npath = "/a"\nsource = "x"\nconfig = "maybe"', "action[1].config", "'maybe'"),
        ('type = "file"\npath = "/a"\nsource = "x"\nowner = "Root!"', "action[1].owner", "'Root!'"),
        ('type = "file"\npath = "/a"\nsource = "x"\nsauce = 1', "action[1].sauce", "unknown key"),
        ('type = "link"\npath = "/a"', "action[1].target", "neither"),
        ('type = "link"\npath = "/a"\ntarget = "x\\n"', "action[1].target", "'x\\n'"),
        ('type = "ini"\npath = "/a"', "action[1].set", "nothing"),
        ('type = "ini"\npath = "/a"\nset = { a = 1 }\nunset = ["a"]', "action[1].unset", "'a'"),
        ('type = "json"\npath = "/a"\nset = { a = nan }', "action[1].set", "nan"),
        ('type = "wheel"\npath = "/a"\nsources = []', "action[1].sources", "[]"),
        ('type = "program"\nname = "x"\nargv = ["x"]', "action[1].argv", "'x'"),
        ('type = "program"\nname = "x"\nargv = ["/x"]\nexits = [256]', "action[1].exits", "[256]"),
        ('type = "program"\nname = "x"\nargv = ["/x"]\ntimeout = "2000h"', "action[1].timeout", "'2000h'"),
        ('type = "deb"\nname = "a b"\nsource = "x"', "action[1].name", "'a b'"),
        ('type = "msi"\nname = "a"\nsource = "x"\nproperties = { "A B" = "c" }', "action[1].properties", "'A B'"),
        ('type = "user"\nname = "app"\ncomment = "a:b"', "action[1].comment", "'a:b'"),
        ('type = "handler"\nhandler = "a b"\nname = "c"', "action[1].handler", "'a b'"),
    ],
)
def test_mistakes_name_key_and_value(table: str, key: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition(f"{HEAD}[[action]]\n{table}\n")
    (mistake,) = caught.value.mistakes
    assert (mistake.key, part in mistake.problem) == (key, True), mistake


def file(path: str) -> str:
    return f'[[action]]\ntype = "file"\npath = "{path}"\nsource = "x"\n'


def test_actions_that_can_not_stand_together() -> None:
    site = '[[action]]\ntype = "site"\npath = "/srv/site"\nsource = "site"\n'
    for pair, part in (
        (file("/a") + file("/a"), "before it"),
        (file("/a") + file("/A"), "case only"),
        (site + file("/srv/site/x"), "lies in"),
        (file("/srv/site/x") + site, "lies in"),
        (file("/a") + file("/a/b"), "lies in"),
        (2 * '[[action]]\ntype = "group"\nname = "app"\n', "before it"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_definition(HEAD + pair)
        (mistake,) = caught.value.mistakes
        assert part in mistake.problem
    both = parse_definition(HEAD + "allow_case_collisions = true\n" + file("/a") + file("/A"))
    assert len(both.action) == 2


def test_ten_mistakes_are_all_named_with_their_lines() -> None:
    wrong = '[[action]]\ntype = "file"\npath = "x"\nsource = "/y"\nmode = "9"\nconfig = "no"\nfoo = 1\n'
    with pytest.raises(ConfigError) as caught:
        parse_definition(HEAD + wrong * 2)
    assert [(m.key, m.line) for m in caught.value.mistakes if m.key.endswith("path")] == [
        ("action[1].path", 5),
        ("action[2].path", 12),
    ]
    assert len(caught.value.mistakes) == 10
