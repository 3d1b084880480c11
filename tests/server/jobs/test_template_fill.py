"""Templates: every parameter has a place, everything missing is named, and what is given is a text and no more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.jobs.template_fill import Template, declare, fill

INSTALL: dict[str, Any] = {
    "type": "install",
    "package": "editor={version}",
    "targets": [],
    "groups": ["site-{site}"],
    "note": "for ${HOME} and {site}",
    "expires_s": 60,
    "options": {"priority": 5, "window": "daily 12:00-13:00"},
}
RUN: dict[str, Any] = {
    "type": "run",
    "package": "",
    "targets": ["pc-1"],
    "options": {"argv": json.dumps(["/bin/echo", "{text}", "x{text}y"]), "exits": "0"},
}


def test_marks_words_and_options() -> None:
    template = declare(INSTALL, ["version", "site=berlin", "priority=7", "expires=2h", "on", "rate", "metered=false"])
    assert template.parameters["version"] is None
    filled = fill(template, {"version": "2.1", "on": "pc-1, pc-2", "rate": "1MB/s", "metered": "true"}, "t")
    assert filled == {
        "type": "install",
        "package": "editor=2.1",
        "targets": ["pc-1", "pc-2"],
        "groups": ["site-berlin"],
        "note": "for ${HOME} and berlin",
        "expires_s": 7200,
        "options": {"priority": 7, "window": "daily 12:00-13:00", "rate": 1_000_000, "metered": True},
    }
    assert template.request == INSTALL, "the template is as it was"


def test_only_declared_parameters_are_marks() -> None:
    filled = fill(declare(INSTALL, ["site"]), {"site": "{version}"}, "t")
    assert filled["package"] == "editor={version}"
    assert filled["groups"] == ["site-{version}"], "what a value brings along is no mark"


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=50))
def test_a_value_never_becomes_another_argument(text: str) -> None:
    filled = fill(declare(RUN, ["text"]), {"text": text}, "t")
    assert json.loads(filled["options"]["argv"]) == ["/bin/echo", text, f"x{text}y"]


def test_options_of_the_type_have_their_names_of_the_command_line() -> None:
    filled = fill(declare(RUN, ["timeout", "exit", "output=1KiB"]), {"timeout": "5m", "exit": "0,3"}, "t")
    assert {key: filled["options"][key] for key in ("run_timeout_s", "exits", "output")} == {
        "run_timeout_s": 300,
        "exits": "0,3",
        "output": 1024,
    }


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (["colour"], "'colour' has no place"),
        (["text"], "'text' has no place"),
        ([""], "no name"),
        (["a b"], "no name"),
        (["site", "site=x"], "stands twice"),
        ([f"site{n}" for n in range(33)], "too many"),
        (["expires=soon"], "'soon'"),
        (["rate=fast"], "'fast'"),
    ],
)
def test_a_template_that_could_never_work_is_not_saved(parameters: list[str], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        declare(INSTALL, parameters)
    assert says in caught.value.what
    assert caught.value.code in {"template.parameter", "template.value"}


def test_everything_missing_and_everything_unknown_is_named() -> None:
    template = declare(INSTALL, ["version", "site"])
    with pytest.raises(UsageError, match=r"needs 'version', 'site'.*\n.*--set version=... --set site=...") as caught:
        fill(template, {}, "nightly")
    assert caught.value.code == "template.missing"
    with pytest.raises(UsageError, match=r"no parameter 'colour', 'size'.*\n.*version, site") as caught:
        fill(template, {"size": "1", "colour": "2"}, "nightly")
    assert caught.value.code == "template.unknown-parameter"
    with pytest.raises(UsageError) as caught:
        fill(template, {"version": "1", "site": "x" * 5000}, "nightly")
    assert caught.value.code == "template.value"


def test_without_parameters_it_is_the_request() -> None:
    assert fill(Template(INSTALL, {}), {}, "t") == INSTALL
