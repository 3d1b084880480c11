"""Definitions: every mistake in one pass, and one canonical text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package.definition import Definition, canonical, parse_definition
from tiercast_protocol.content.package.programs import Program
from tiercast_protocol.errors import ConfigError

FULL = """
name = "editor"   # a comment
version = "1.2.3"
revision = 4
description = "An editor."
allow_setuid = true

[run_before]
argv = ["./hooks/before.sh", "--quiet"]
timeout = "5m"
idempotent = true
output_limit = "8KiB"

[run_after]
argv = ["/bin/true"]
"""


def test_full() -> None:
    assert parse_definition(FULL) == Definition(
        name="editor",
        version="1.2.3",
        revision=4,
        description="An editor.",
        allow_setuid=True,
        run_before=Program(("./hooks/before.sh", "--quiet"), timeout_s=300, idempotent=True, output_limit=8192),
        run_after=Program(("/bin/true",)),
    )


def test_least() -> None:
    assert parse_definition('name = "a"\nversion = "1"') == Definition("a", "1")


def test_canonical_is_fixed() -> None:
    text = canonical(parse_definition(FULL))
    assert parse_definition(text) == parse_definition(FULL)
    assert text == (
        'name = "editor"\nversion = "1.2.3"\nrevision = 4\ndescription = "An editor."\nallow_setuid = true\n\n'
        '[run_before]\nargv = ["./hooks/before.sh", "--quiet"]\ntimeout = "300s"\nidempotent = true\n'
        "output_limit = 8192\n\n"
        '[run_after]\nargv = ["/bin/true"]\ntimeout = "60s"\nidempotent = false\noutput_limit = 65536\n'
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
PROGRAMS = st.none() | st.builds(
    Program,
    argv=st.lists(TEXT.map(lambda text: text.replace("\0", "")), max_size=4).map(lambda more: ("./run", *more)),
    timeout_s=st.integers(1, 86400),
    idempotent=st.booleans(),
    output_limit=st.integers(1, 262144),
)


@given(
    st.builds(
        Definition,
        name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(lambda n: not n.startswith("join-")),
        version=st.from_regex(r"[0-9][0-9a-z.+~-]{0,20}", fullmatch=True),
        revision=st.integers(1, 2**31 - 1),
        description=TEXT,
        run_before=PROGRAMS,
        run_after=PROGRAMS,
        allow_setuid=st.booleans(),
        allow_case_collisions=st.booleans(),
        condition=st.sampled_from(["", "cpus > 1", 'os == "linux" && "a\\n" != name']),
        requires=st.lists(st.sampled_from(["other >= 2", "more"]), unique=True).map(tuple),
        conflicts=st.lists(st.sampled_from(["rival < 3.0~rc1"]), unique=True).map(tuple),
    )
)
def test_canonical_comes_back(definition: Definition) -> None:
    assert parse_definition(canonical(definition)) == definition


def test_conditions_and_needs_are_sealed_only_where_they_can_be_meant() -> None:
    head = 'name = "a"\nversion = "1"\n'
    found = parse_definition(head + "condition = ' cpus > 1 '\nrequires = ['b>=2', 'c']\nconflicts = ['d']")
    assert (found.condition, found.requires, found.conflicts) == ("cpus > 1", ("b >= 2", "c"), ("d",))
    with pytest.raises(ConfigError) as caught:
        parse_definition(head + "condition = 'speed > 1'\nrequires = ['b => 2', 'a']\nconflicts = 'd'")
    told = [(mistake.key, mistake.problem) for mistake in caught.value.mistakes]
    assert [key for key, _ in told] == ["condition", "requires", "requires", "conflicts"]
    assert "speed" in told[0][1]
    assert "itself" in told[2][1]


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition(
            """
            name = "no spaces"
            version = 1.5
            revision = 0
            description = 7
            colour = "red"
            allow_setuid = "yes"
            run_after = "reboot"
            [run_before]
            argv = "./x"
            timeout = "soon"
            idempotent = 1
            output_limit = "1GB"
            tiemout = 5
            """,
            "pkg/package.toml",
        )
    keys = {mistake.key for mistake in caught.value.mistakes}
    assert keys == {
        "name",
        "version",
        "revision",
        "description",
        "colour",
        "allow_setuid",
        "run_after",
        "run_before.argv",
        "run_before.timeout",
        "run_before.idempotent",
        "run_before.output_limit",
        "run_before.tiemout",
    }
    assert all(mistake.expected for mistake in caught.value.mistakes)
    assert "pkg/package.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "name"),
        ('name = "a"', "version"),
        ('name = ""\nversion = "1"', "name"),
        ('name = "join-x"\nversion = "1"', "name"),
        ('name = "a"\nversion = ""', "version"),
        ('name = "a"\nversion = "1/2"', "version"),
        ('name = "a"\nversion = "1"\nrevision = true', "revision"),
        (f'name = "a"\nversion = "1"\ndescription = "{"x" * 5000}"', "description"),
        ("name =", "(file)"),
        ("[" * 2000, "(file)"),
    ],
)
def test_one_mistake(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition(text)
    assert key in {mistake.key for mistake in caught.value.mistakes}


@pytest.mark.parametrize(
    ("program", "key"),
    [
        ("argv = []", "argv"),
        ("argv = [1]", "argv"),
        ('argv = ["before.sh"]', "argv"),
        ('argv = ["../x"]', "argv"),
        ('argv = ["./../x"]', "argv"),
        ('argv = ["./"]', "argv"),
        ('argv = ["/"]', "argv"),
        ('argv = ["./a", "\\u0000"]', "argv"),
        (f"argv = {['./a'] * 65}", "argv"),
        (f'argv = ["./a", "{"x" * 5000}"]', "argv"),
        ("", "argv"),
        ('argv = ["./a"]\ntimeout = 60', "timeout"),
        ('argv = ["./a"]\ntimeout = "0s"', "timeout"),
        ('argv = ["./a"]\ntimeout = "25h"', "timeout"),
        ('argv = ["./a"]\ntimeout = "5 parsecs"', "timeout"),
        ('argv = ["./a"]\noutput_limit = -1', "output_limit"),
        ('argv = ["./a"]\noutput_limit = true', "output_limit"),
    ],
)
def test_programs(program: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition(f'name = "a"\nversion = "1"\n[run_before]\n{program}')
    assert {mistake.key for mistake in caught.value.mistakes} == {f"run_before.{key}"}


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("5m", 300), ("1h", 3600), ("1d", 86400), ("90 s", 90)])
def test_timeouts(text: str, seconds: int) -> None:
    program = f'name = "a"\nversion = "1"\n[run_after]\nargv = ["./a"]\ntimeout = "{text}"'
    parsed = parse_definition(program).run_after
    assert parsed is not None
    assert parsed.timeout_s == seconds


def test_too_long_in_all() -> None:
    many = ", ".join(f'"{"y" * 4000}"' for _ in range(20))
    with pytest.raises(ConfigError, match="too long"):
        parse_definition(f'name = "a"\nversion = "1"\n[run_before]\nargv = ["./a", {many}]')


@given(st.text(max_size=100))
def test_any_text(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_definition(text)


MANY = """
name = "two words"
version = "abc"
version_order = "packaging"
revision = 0
replace = "sometimes"
requires = ["b => 2"]
before = ["a b"]
colour = "red"
condition = "speed > 1"
[variables]
1x = "y"
[run_after]
argv = ["sh"]
timeout = "soon"
"""


def test_ten_mistakes_are_told_at_once_with_line_and_key() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_definition(MANY)
    told = [(one.line, one.key) for one in caught.value.mistakes]
    assert told == [
        (2, "name"),
        (3, "version"),
        (5, "revision"),
        (6, "replace"),
        (7, "requires"),
        (8, "before"),
        (9, "colour"),
        (10, "condition"),
        (12, "variables.1x"),
        (14, "run_after.argv"),
        (15, "run_after.timeout"),
    ]
    assert "line 9, colour: unknown key" in str(caught.value)


def test_versions_and_neighbours_are_written_again() -> None:
    text = 'name = "a"\nversion = "1:2-3"\nversion_order = "debian"\nreplace = "newer"\nbefore = ["b"]\n'
    found = parse_definition(text)
    assert (found.version_order, found.replace, found.before) == ("debian", "newer", ("b",))
    assert parse_definition(canonical(found)) == found


def test_before_what_it_requires_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="names b, which it requires"):
        parse_definition('name = "a"\nversion = "1"\nrequires = ["b >= 1"]\nbefore = ["b"]\n')


def test_undeclared_variables_are_mistakes() -> None:
    text = 'name = "a"\nversion = "1"\n[variables]\nx = ""\n[run_after]\nargv = ["/bin/echo", "${y}"]\n'
    with pytest.raises(ConfigError, match=r"line 6, run_after.argv: uses \$\{y\}"):
        parse_definition(text)
