"""Times in an order's options: what is read, and what is refused with its value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.content.jobs import times as t
from tiercast_protocol.errors import UsageError


def test_nothing_said_is_at_once_and_once() -> None:
    assert t.read({}) == t.Times()
    assert t.read({"rate": 5, "priority": 9}) == t.Times()
    assert t.Times().transfer.pause_after(1, "chunk.missing") is None


def test_all_words() -> None:
    said = t.read(
        {
            "distribute_at": 1,
            "install_at": 2,
            "switch_at": 3,
            "prepare_by": 4,
            "deadline": 5,
            "install_window": "mon-fri 22:00-06:00; not wed 00:00-24:00 utc",
            "install_when": "shutdown",
            "spread_s": 600,
            "max_duration_s": 900,
            "tries": 3,
            "try_pause_s": 10,
            "try_codes": "disk.full, chunk.missing",
            "install_tries": 2,
        }
    )
    assert (said.distribute_at, said.not_before, said.prepare_by, said.deadline) == (1, 3, 4, 5)
    assert (len(said.window), said.when, said.spread_s, said.max_duration_s) == (2, "shutdown", 600, 900)
    assert said.transfer == t.Tries(3, 10, frozenset({"disk.full", "chunk.missing"}))
    assert said.installation == t.Tries(2, 60)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("install_at", -5),
        ("install_at", True),
        ("install_at", "18:00"),
        ("distribute_at", 0),
        ("deadline", 1 << 60),
        ("spread_s", -1),
        ("spread_s", 8 * 86_400),
        ("max_duration_s", 0),
        ("max_duration_s", 1e9),
        ("install_when", "never"),
        ("install_window", 7),
        ("install_window", "daily 22:00-23:00 at 5000"),
        ("tries", 0),
        ("tries", 101),
        ("install_tries", "2"),
        ("try_pause_s", -1),
        ("install_codes", 5),
        ("install_unless", "/usr/bin/editor"),
        ("install_unless", 5),
    ],
)
def test_what_is_absurd_is_refused_with_its_value(word: str, value: object) -> None:
    with pytest.raises(UsageError) as refused:
        t.read({word: value})
    assert refused.value.code == f"times.{word}"
    assert str(value)[:20] in refused.value.what
    assert "Nothing was done." in refused.value.todo


def test_a_window_that_is_none_is_refused_as_everywhere() -> None:
    with pytest.raises(UsageError) as refused:
        t.read({"install_window": "at night"})
    assert refused.value.code == "window.invalid"


def test_hopeless_codes_are_tried_again_only_by_name() -> None:
    assert t.Tries(3).pause_after(1, "package.invalid") is None
    assert t.Tries(3).pause_after(1, "disk.full") == 60_000
    assert t.Tries(3, codes=frozenset({"package.invalid"})).pause_after(1, "package.invalid") == 60_000
    assert t.Tries(3, codes=frozenset({"package.invalid"})).pause_after(1, "disk.full") is None


@given(st.integers(1, t.MOST_TRIES), st.integers(1, t.LONGEST_PAUSE_S))
def test_pauses_grow_to_a_bound_and_tries_end(most: int, pause: int) -> None:
    tries = t.Tries(most, pause)
    pauses = [tries.pause_after(failed, "x") for failed in range(1, most + 2)]
    assert pauses[most - 1 :] == [None, None]
    known = [one for one in pauses if one is not None]
    assert known == sorted(known)
    assert all(pause * 1000 <= one <= max(3_600_000, pause * 1000) for one in known)
