"""Conditions: what can be told from the text is told first, what is not known is counted, what costs too much ends."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.facts.condition import compile_condition
from tiercast_protocol.errors import UsageError

FACTS = (
    '{"name":"pc","os":"linux","distribution":"debian","version":"12","kernel":"6.1","architecture":"x86_64","cpus":4,'
    '"memory":8000000000,"disk_free":1,"disk_total":2,"python":"3.11","agent":"1",'
    '"packages":{"editor":"2.1","a-b":"1"},"labels":{"site":"berlin"}}'
)


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ('distribution == "debian" && version >= "11"', True),
        ("memory >= 4 * 1000 * 1000 * 1000 && cpus < 4", False),
        ('"editor" in packages && packages["editor"].startsWith("2.")', True),
        ('packages.editor == "2.1" || labels.nothing == "x"', True),
        ('"word" in packages', False),
        ('!("word" in packages)', True),
        ("has(labels.site) && !has(labels.floor)", True),
        ("size(packages) == 2 && 'a-b' in packages", True),
        ("size(labels) == 1 && labels.site == 'berlin'", True),
        ('labels[os == "linux" ? "site" : "x"] == "berlin"', True),
        ('labels == {"site": "berlin"}', True),
        ('kernel.matches("^6[.]")', True),
        ("cpus in [2, 4]", True),
        ("(name) == 'p' + 'c'", True),
        ('r"\\d" != name', True),
        ('"e\\u0064itor" in packages', True),
    ],
)
def test_what_is_true_of_a_machine(text: str, is_true: bool) -> None:
    condition = compile_condition(text)
    assert condition.find([("pc", FACTS)]).names == (["pc"] if is_true else [])
    assert condition.is_true("pc", FACTS) == is_true


def test_the_library_brings_no_command_line_of_its_own() -> None:
    code = (
        "import sys; from tiercast_protocol.content.facts.condition import compile_condition;"
        "compile_condition('cpus > 1');"
        "print([name for name in ('prompt_toolkit', 'pygments', 'cel.cli') if name in sys.modules])"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_many_threads_may_need_the_library_first() -> None:
    code = (
        "import threading; from concurrent.futures import ThreadPoolExecutor as Pool;"
        "from tiercast_protocol.content.facts.condition import compile_condition;"
        "gate = threading.Barrier(8);"
        "work = lambda n: (gate.wait(), compile_condition(f'cpus > {n}').text)[1];"
        "print(len(list(Pool(8).map(work, range(8)))))"
    )
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "8"


def test_only_what_is_asked_for_is_read() -> None:
    asked = {
        'packages["a"] == "1" && "b" in packages': {"packages": {"a", "b"}},
        'size(packages) > 1 && "b" in packages': {},
        "labels.site == packages[name]": {"labels": {"site"}},
        'name == "packages"': {},
    }
    for text, entries in asked.items():
        assert {name: set(keys) for name, keys in compile_condition(text).entries.items()} == entries, text


def test_what_is_not_known_is_counted_and_not_meant() -> None:
    condition = compile_condition('labels.floor == "3" || cpus > 100')
    found = condition.find([("pc", FACTS), ("old", '{"name":"old","cpus":2}'), ("big", FACTS.replace(":4,", ":200,"))])
    assert found.names == ["big"], "what is true already needs no more"
    assert (dict(found.unknown), found.looked_at) == ({"floor": 1, "labels": 1}, 3)


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("cpus >", "condition.syntax", "read"),
        ("(((", "condition.syntax", "read"),
        ("speed > 1 && colour == 2", "fact.unknown", "'colour', 'speed'"),
        ("debian == os", "fact.unknown", "'debian'"),
        ("1 == 1", "condition.constant", "no fact"),
        ("packages.all(p, p != '')", "condition.macro", "all"),
        ("[1, 2].map(x, x * cpus) == []", "condition.macro", "map"),
        ("packages . exists (p, true)", "condition.macro", "exists"),
        ("rm(name)", "condition.function", "rm"),
        ("cpus > 1 " * 300, "condition.long", "2000"),
        ("[" * 40 + "cpus" + "]" * 40 + " == []", "condition.long", "40 brackets"),
        ("!" * 500 + "(cpus > 1)", "condition.long", "words"),
    ],
)
def test_mistakes_are_told_before_anything_is_looked_at(text: str, code: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_condition(text)
    assert caught.value.code == code
    assert word in caught.value.what
    assert caught.value.todo


@pytest.mark.parametrize(
    "text", ["cpus", "os > 3", "cpus / 0 == 1", 'name.matches("(")', "9223372036854775807 + cpus > 0"]
)
def test_what_makes_no_sense_is_refused_before_any_machine_said_anything(text: str) -> None:
    with pytest.raises(UsageError, match="the example") as caught:
        compile_condition(text)
    assert caught.value.code == "condition.invalid"
    assert caught.value.todo


def test_what_makes_no_sense_for_one_machine_names_it() -> None:
    condition = compile_condition("int(version) > 11")
    odd = FACTS.replace('"12"', '"testing"')
    with pytest.raises(UsageError, match="odd-1") as caught:
        condition.find([("pc", FACTS), ("odd-1", odd)])
    assert caught.value.code == "condition.invalid"
    assert not condition.is_true("odd-1", odd)
    assert compile_condition('version.matches("^[0-9]+$") && int(version) > 11').find([("odd-1", odd)]).names == []


def test_what_costs_too_much_ends() -> None:
    with pytest.raises(UsageError, match="costs too much") as caught:
        compile_condition(" || ".join(['name.matches("(a{60}){60}{60}")'] * 4))
    assert caught.value.code == "condition.slow"
    with pytest.raises(UsageError, match="costs too much"):
        compile_condition("cpus > 1").find([("pc", FACTS)] * 1000, limit_s=0)


@given(st.text(max_size=80) | st.text("cpus.name()[]{}'\"<>=!&|?:+-*/ 0r\\,", max_size=80))
def test_any_text_is_a_condition_or_a_mistake(text: str) -> None:
    try:
        compile_condition(text).find([("pc", FACTS)])
    except UsageError as error:
        code = error.code
    else:
        code = "condition."
    assert code.startswith(("condition.", "fact."))


@pytest.mark.parametrize(
    ("text", "is_true", "values"),
    [
        ('compare(packages.editor, "2.0") >= 0', True, "packages.editor = 2.1"),
        ('"editor" in packages && compare(packages["editor"], "2.10") >= 0', False, "packages.editor = 2.1"),
        ('!("word" in packages) || compare(packages.word, "3") < 0', True, "packages.word absent"),
        ("memory >= 16000000000 && cpus > 1", False, "cpus = 4, memory = 8 GB"),
        ('compare(version, "11") > 0', True, "version = 12"),
    ],
)
def test_a_test_says_the_values_that_decided(text: str, is_true: bool, values: str) -> None:
    tested = compile_condition(text).test("pc", FACTS)
    assert (tested.true, tested.values, tested.unknown) == (is_true, values, "")


def test_a_test_names_what_is_not_known() -> None:
    tested = compile_condition('labels.floor == "3"').test("pc", FACTS)
    assert (tested.true, tested.values, tested.unknown) == (False, "labels.floor absent", "floor")
    with pytest.raises(UsageError, match="makes no sense"):
        compile_condition("int(packages.editor) > 0").test("pc", FACTS)


def test_what_makes_no_sense_is_said_in_our_words_and_whole() -> None:
    with pytest.raises(UsageError, match="a text with a number") as caught:
        compile_condition("name > 3")
    assert "uint" not in caught.value.what


def test_versions_compare_in_the_order_that_is_named() -> None:
    facts = '{"kernel":"1.0rc1"}'
    assert compile_condition('compare(kernel, "1.0", "packaging") < 0').is_true("pc-1", facts)
    assert compile_condition('compare(kernel, "1.0") > 0').is_true("pc-1", facts)
    assert compile_condition('compare("1:0.1", kernel, "debian") > 0').is_true("pc-1", facts)


def test_what_was_mistyped_is_said_in_words() -> None:
    for text, what, todo in (
        ("cpus >", "The condition can't be read at column 7: something is missing at its end", "As in: "),
        ("cpus > > 4", "can't be read at column 8: ", "As in: "),
        ("cpu > 4", "No fact is called 'cpu'.", "Did you mean 'cpus'? "),
    ):
        with pytest.raises(UsageError) as caught:
            compile_condition(text)
        assert what in caught.value.what
        assert "expecting {" not in caught.value.what
        assert caught.value.todo.startswith(todo)
