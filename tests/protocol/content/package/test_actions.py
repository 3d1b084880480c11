"""Options of jobs about no package: read the same by whoever signs and whoever does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package import actions
from tiercast_protocol.content.package.actions import Message, Run, argv_text, check_options, read_message, read_run
from tiercast_protocol.errors import UsageError

ARGV = argv_text(["/bin/true"])
words = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)


@given(st.lists(words, max_size=5))
def test_arguments_arrive_as_they_were_given(arguments: list[str]) -> None:
    argv = ("/bin/echo", *arguments)
    assert read_run({"argv": argv_text(argv)}).argv == argv


def test_all_that_can_be_said_of_a_program() -> None:
    said: dict[str, Any] = {"argv": '["df","-h"]', "run_timeout_s": 5, "exits": "3,0,3", "user": "backup"}
    said |= {"idempotent": True, "output": 10, "priority": 9}
    assert read_run(said) == Run(("df", "-h"), 5, (0, 3), "backup", idempotent=True, output=10)
    assert read_run({"argv": ARGV}) == Run(("/bin/true",))
    assert read_message({"text": "a\n\tb", "title": "c"}) == Message("a\n\tb", "c")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"argv": None}, "run.argv"),
        ({"argv": 7}, "run.argv"),
        ({"argv": "/bin/true"}, "run.argv"),
        ({"argv": "[]"}, "run.argv"),
        ({"argv": "[" * 100_000}, "run.argv"),
        ({"argv": '["a", 1]'}, "run.argv"),
        ({"argv": argv_text(["/bin/true"] * 65)}, "run.argv"),
        ({"argv": argv_text(["/bin/true", "a\0b"])}, "run.argv"),
        ({"argv": argv_text(["/bin/true", "a" * 5000])}, "run.argv"),
        ({"argv": argv_text(["/bin/true", *["a" * 4000] * 5])}, "run.argv"),
        ({"argv": argv_text(["./here"])}, "run.argv"),
        ({"argv": argv_text(["bin/here"])}, "run.argv"),
        ({"argv": argv_text([""])}, "run.argv"),
        ({"run_timeout_s": 0}, "run.timeout"),
        ({"run_timeout_s": True}, "run.timeout"),
        ({"run_timeout_s": 10**9}, "run.timeout"),
        ({"output": -1}, "run.output"),
        ({"output": 2**30}, "run.output"),
        ({"exits": ""}, "run.exits"),
        ({"exits": "256"}, "run.exits"),
        ({"exits": "0;1"}, "run.exits"),
        ({"exits": "\u0663"}, "run.exits"),
        ({"exits": ",".join(map(str, range(33)))}, "run.exits"),
        ({"user": "a:b"}, "run.user"),
        ({"user": 0}, "run.user"),
        ({"idempotent": "yes"}, "run.idempotent"),
    ],
)
def test_a_program_that_can_not_be_run(more: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_options("run", {"argv": ARGV, **more})
    assert caught.value.code == code
    assert "Expected: " in caught.value.todo
    assert len(caught.value.what) < 200


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({}, "message.text"),
        ({"text": ""}, "message.text"),
        ({"text": " \n"}, "message.text"),
        ({"text": "a" * 4001}, "message.text"),
        ({"text": "\x1b[2J"}, "message.text"),
        ({"text": "\u202egnp.exe"}, "message.text"),
        ({"text": 5}, "message.text"),
        ({"text": "a", "title": "a\nb"}, "message.title"),
        ({"text": "a", "title": "a" * 121}, "message.title"),
    ],
)
def test_a_text_that_can_not_be_shown(said: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_options("message", said)
    assert caught.value.code == code


def test_other_types_have_no_options_of_their_own() -> None:
    check_options("install", {"argv": 5})
    assert set(actions.OPTIONS) == {"run", "message"}
