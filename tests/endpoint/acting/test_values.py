"""Files of settings, edited key by key."""

from __future__ import annotations

import pytest

from tiercast_endpoint.acting.prefix import ActError
from tiercast_endpoint.acting.values import edit, form, read

INI = b"# top\n[a]\nx = 1\n; said\ny: 2\n\n[b.c]\nKey = v\n"
ENV = b"# top\nA=1\nexport B='two'\n\nA=3\n"
JSON = b'{\n    "a": {\n        "b": 1\n    },\n    "c": true\n}\n'
TOML = b'# top\nx = 1 # one\n\n[a]\nb = "two"\n'
FILES = {"ini": INI, "env": ENV, "json": JSON, "toml": TOML}


@pytest.mark.parametrize(
    ("kind", "put", "drop", "expected"),
    [
        ("ini", {"a.x": "9", "b.c.Key": "w"}, [], INI.replace(b"x = 1", b"x = 9").replace(b"= v", b"= w")),
        ("ini", {}, ["a.y"], INI.replace(b"y: 2\n", b"")),
        ("env", {"A": 9, "C": "a b$"}, ["B"], b'# top\nA=1\n\nA=9\nC="a b\\$"\n'),
        ("json", {"a.b": 2, "d": True}, ["c"], b'{\n    "a": {\n        "b": 2\n    },\n    "d": true\n}\n'),
        ("toml", {"x": 2, "a.c": (1, "z")}, ["a.b"], b'# top\nx = 2 # one\n\n[a]\nc = [1, "z"]\n'),
    ],
)  # fmt: skip
def test_what_is_not_meant_stays_as_it_is(kind: str, put: dict[str, object], drop: list[str], expected: bytes) -> None:
    forms = {key: form(kind, value) for key, value in put.items()}  # type: ignore[arg-type]
    assert edit(kind, FILES[kind], forms, drop) == expected


@pytest.mark.parametrize("kind", list(FILES))
def test_an_old_form_goes_back_as_it_was(kind: str) -> None:
    key = {"ini": "a.x", "env": "B", "json": "a.b", "toml": "a.b"}[kind]
    old = read(kind, FILES[kind], [key, key + "none"])
    assert list(old) == [key]
    changed = edit(kind, FILES[kind], {key: form(kind, "new")}, [])
    assert changed != FILES[kind]
    assert edit(kind, changed, old, []) == FILES[kind]
    assert edit(kind, FILES[kind], old, [key + "none"]) == FILES[kind], "nothing to do changes no byte"


@pytest.mark.parametrize("kind", list(FILES))
def test_a_file_that_is_not_there_begins_with_its_first_key(kind: str) -> None:
    key = {"ini": "a.x", "env": "A"}.get(kind, "a.b")
    made = edit(kind, b"", {key: form(kind, "v")}, [])
    assert read(kind, made, [key]) == {key: form(kind, "v")}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("ini", b"just text\n"), ("ini", b"[a]\nx=1\nx=2\n"), ("json", b"{"), ("json", b"[1]"), ("toml", b"= 1"),
        ("env", b"\xff"),
    ],
)  # fmt: skip
def test_what_is_no_such_file(kind: str, data: bytes) -> None:
    with pytest.raises(ActError) as caught:
        read(kind, data, ["a.b"] if kind != "env" else ["A"])
    assert caught.value.code == "settings.form"


@pytest.mark.parametrize(("kind", "key"), [("ini", "x"), ("env", "a-b"), ("json", "c.d"), ("toml", "x.y")])
def test_keys_that_can_not_be(kind: str, key: str) -> None:
    with pytest.raises(ActError) as caught:
        edit(kind, FILES[kind], {key: form(kind, "v")}, [])
    assert caught.value.code == "settings.key"
