"""Lines of keys: tables, lists of tables, long texts, and the nearest known place."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.package.lines import line_of, lines_of

TEXT = '''\
name = "a"
"odd key" = 1
note = """
not = "a key"
[neither]
"""
[run_before]   # a comment
argv = ["x"]
[[action]]
path = "one"
[[action]]
path = "two"
[action.settings]
mode = 1
[dotted."two words"]
deep.er = 2
'''


def test_lines() -> None:
    tomllib.loads(TEXT)
    assert lines_of(TEXT) == {
        "name": 1,
        "odd key": 2,
        "note": 3,
        "run_before": 7,
        "run_before.argv": 8,
        "action[1]": 9,
        "action[1].path": 10,
        "action[2]": 11,
        "action[2].path": 12,
        "action[2].settings": 13,
        "action[2].settings.mode": 14,
        "dotted.two words": 15,
        "dotted.two words.deep.er": 16,
    }


def test_nearest() -> None:
    lines = lines_of(TEXT)
    assert line_of(lines, "run_before.timeout") == 7
    assert line_of(lines, "action[2].nothing.there") == 11
    assert line_of(lines, "note[3].x") == 3
    assert line_of(lines, "unheard.of") == 0


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    assert all(0 < number <= len(text.splitlines()) for number in lines_of(text).values())


@given(st.text("ab.[]19", max_size=30))
def test_any_name(name: str) -> None:
    assert line_of({"a": 1, "a[1]": 2, "b": 3}, name) in {0, 1, 2, 3}
