"""The file of the desired state: what is read, what is refused, what is written again."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiercast_cli.wanted.desiredfiles import document_of, lines_of, text_of, write
from tiercast_protocol.errors import UsageError

WHOLE = """\
format = 1

[group.sales]
members = ["pc-1", "pc-2"]

[group.old]
where = 'version == "11"'
install_window = ["daily 20:00-22:00", "sun 00:00-24:00"]

[window.night]
open = ["mon-fri 22:00-05:00", "sat 00:00-24:00"]

[assignment.editor]   # the newest two
group = "sales"
target = "below berlin minus group kiosks"
has = "editor >= 2.1"
window = "night"
priority = 7
expires = "10d"
note = "for sales"
rollout = { waves = ["1", "10%", "rest"], go_on = "95%", soak = "1h", stop_at = 3 }

[assignment.old-editor]
on = ["pc-9"]
lacks = "editor < 2"
install-window = "daily 22:00-23:00"
paused = true
"""


def read(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "region.toml"
    path.write_text(text)
    return document_of(str(path))


def refused(tmp_path: Path, text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    return caught.value


def test_a_whole_file(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    document = found["document"]
    assert document["groups"] == [
        {"name": "sales", "members": ["pc-1", "pc-2"]},
        {"name": "old", "where": 'version == "11"', "install_window": "daily 20:00-22:00; sun 00:00-24:00"},
    ]
    assert document["windows"] == [{"name": "night", "open": "mon-fri 22:00-05:00; sat 00:00-24:00"}]
    editor, old = document["assignments"]
    table = tomllib.loads(WHOLE)["assignment"]["editor"]
    assert editor == {
        "name": "editor",
        "target": "group sales or (below berlin minus group kiosks)",
        "has": "editor >= 2.1",
        "paused": False,
        "window": ["night"],
        "options": {"priority": 7},
        "note": "for sales",
        "expires_s": 864_000,
        "rollout": {"waves": ["1", "10%", "rest"], "go_on": "95%", "soak_s": 3600, "stop_at": "3"},
        "table": table,
    }
    assert (old["lacks"], old["paused"], old["target"]) == ("editor < 2", True, "node pc-9")
    assert old["options"] == {"install_window": "daily 22:00-23:00"}
    assert (found["lines"]["assignment.editor.has"], found["lines"]["group.old"]) == (16, 6)


def test_all_mistakes_are_told_at_once_with_line_and_key(tmp_path: Path) -> None:
    text = """\
grupe = 1
[group.a]
members = "pc-1"
colour = 1
[window.w]
[assignment.b]
has = "editor"
lacks = "editor"
speed = 9
[assignment.c]
group = "sales"
lacks = "editor"
rate = "10MB/s"
rollout = { waves = ["1"] }
[assignment.d]
on = ["pc-1"]
has = "editor"
priority = "often"
rollout = { waves = [], soak = "1h" }
paused = 1
window = 2
[assignment.e]
on = ["pc-1"]
has = "editor"
dry_run = true
window = "w"
install_window = "daily 22:00-23:00"
rollout = { waves = ["rest"], soak = "long", speed = 1 }
"""
    error = refused(tmp_path, text)
    assert error.code == "desired.invalid"
    for part in (
        "line 1, grupe: unknown key; there are: format, group, window, assignment",
        "line 3, group.a.members: must be a list of texts",
        "line 4, group.a.colour: unknown key",
        "line 5, window.w.open: must be a window",
        "line 6, assignment.b: write one of has",
        "line 6, assignment.b: it says not for whom",
        "line 9, assignment.b.speed: unknown key",
        "line 13, assignment.c.rate: unknown key",
        "line 14, assignment.c.rollout: only what is installed",
        "line 18, assignment.d.priority:",
        "line 19, assignment.d.rollout: write rollout",
        "line 20, assignment.d.paused: must be true or false",
        "line 21, assignment.d.window: must be the name",
        "line 25, assignment.e.dry_run: unknown key",
        "line 26, assignment.e.window: there is install_window too",
        "line 28, assignment.e.rollout.soak:",
        "line 28, assignment.e.rollout.speed:",
    ):
        assert part in error.what, part


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("format = 2", "format: this version reads format 1, not 2"),
        ("group = 1", "group: no table; write [group.NAME]"),
        ("[group]\nsales = 1", "group.sales: no table; write [group.sales]"),
        ('[assignment.a]\nhas = ""\non = ["a"]', "assignment.a.has: must be a text"),
        ('[assignment.a]\nhas = "a"\ntarget = "below"', "assignment.a.target:"),
        ("[window.w]\nopen = 'daily 1:00-2:00'\nshut = 1", "window.w.shut: unknown key; there is: open"),
    ],
)
def test_other_mistakes(tmp_path: Path, text: str, part: str) -> None:
    assert part in refused(tmp_path, text).what


def test_what_is_no_toml_or_stands_there_twice(tmp_path: Path) -> None:
    for text in ("[group.a", "[group.a]\n[group.a]", '[group.a]\nwhere = "x"\nwhere = "y"'):
        assert refused(tmp_path, text).code == "file.invalid"
    with pytest.raises(UsageError) as caught:
        document_of(str(tmp_path / "none.toml"))
    assert caught.value.code == "file.unreadable"


def test_the_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("[group.a]\nself_join = true\n"))
    assert document_of("-")["document"]["groups"] == [{"name": "a", "self_join": True}]


def as_kept(document: dict[str, Any]) -> dict[str, Any]:
    """As the server gives it back: everything that was left out has its default."""
    group = {"members": [], "where": "", "self_join": False}
    return {**document, "groups": [{**group, **one} for one in document["groups"]]}


def test_what_is_written_is_what_was_read(tmp_path: Path) -> None:
    kept = as_kept(read(tmp_path, WHOLE)["document"])
    text = text_of(kept)
    assert as_kept(read(tmp_path, text)["document"]) == kept
    assert '[group.old]\nwhere = "version == \\"11\\""\n' in text


TEXTS = st.text(max_size=20).filter(lambda text: not any("\ud800" <= mark <= "\udfff" for mark in text))
GROUPS = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b.c", "d-e"]), "members": st.lists(TEXTS, max_size=9), "where": TEXTS},
    optional={"self_join": st.booleans()},
)


@settings(deadline=None)
@given(st.lists(GROUPS, max_size=3, unique_by=lambda one: one["name"]), TEXTS)
def test_any_text_is_written_so_that_it_is_read(groups: list[dict[str, Any]], note: str) -> None:
    table = {"has": "editor", "group": "a", "note": note}
    document = {"groups": groups, "windows": [], "assignments": [{"name": "x.y", "table": table}]}
    found = tomllib.loads(text_of(as_kept(document)))
    assert found.get("assignment") == {"x.y": table}
    for one in groups:
        assert found["group"][one["name"]].get("members", []) == one["members"]
        assert found["group"][one["name"]].get("where", "") == one["where"]


def test_lines_of_keys() -> None:
    text = '[group."a.b"]\nwhere = "x"\n\n[ assignment . e ] # mine\n"has" = "y"\n'
    assert lines_of(text) == {"group.a.b": 1, "group.a.b.where": 2, "assignment.e": 4, "assignment.e.has": 5}


def test_what_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        write(str(tmp_path), "x")
    assert caught.value.code == "file.unwritable"
