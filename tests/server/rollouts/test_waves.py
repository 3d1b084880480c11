"""Who is in which wave."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiercast_protocol.errors import UsageError
from tiercast_server.rollouts.life import WHOLE
from tiercast_server.rollouts.waves import MOST, parse, share_of, shared

NAMES = [f"pc-{n}" for n in range(100)]


def sizes(*texts: str, count: int = 100) -> list[int]:
    waves = parse(texts)
    return [len(names) for names in shared(waves, NAMES[:count], [None] * len(waves), "r1")]


def test_numbers_percentages_and_the_rest() -> None:
    assert sizes("1", "10%", "50%", "rest") == [1, 10, 50, 39]
    assert sizes("50%", "50%", count=3) == [2, 1]
    assert sizes("2.5%", "rest") == [3, 97]
    assert sizes("100") == [100]


def test_whom_an_expression_names_stands_in_its_wave() -> None:
    waves = parse(["10%", "group pilots", "rest"])
    found = shared(waves, NAMES, [None, {"pc-3", "pc-4", "elsewhere"}, None], "r1")
    assert found[1] == ["pc-3", "pc-4"]
    assert [len(names) for names in found] == [10, 2, 88]
    assert not {"pc-3", "pc-4"} & set(found[0])


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ([], "wave.invalid"),
        (["1"] * (MOST + 1), "wave.invalid"),
        (["0", "rest"], "wave.invalid"),
        ([" "], "wave.invalid"),
        (["0%", "rest"], "wave.invalid"),
        (["101%"], "wave.share"),
        (["60%", "50%"], "wave.share"),
        (["x%"], "wave.share"),
        (["rest", "1"], "wave.rest"),
        (["rest", "rest"], "wave.rest"),
        (["pilots", "rest"], "target.syntax"),
        (["1", "10%"], "wave.left"),
        (["101"], "wave.number"),
        (["100", "rest"], "wave.empty"),
        (["100%", "5"], "wave.number"),
    ],
)
def test_what_does_not_add_up_is_refused(texts: list[str], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        sizes(*texts)
    assert caught.value.code == code


def test_an_expression_that_names_nobody_of_them_is_refused() -> None:
    with pytest.raises(UsageError, match="nobody"):
        shared(parse(["group pilots", "rest"]), NAMES, [set(), None], "r1")


def test_shares_are_of_nothing_to_all() -> None:
    assert [share_of(text, "c", "It") for text in ("0%", "95%", "99.999%", "100%")] == [0, 95_000, 99_999, WHOLE]
    for text in ("100.1%", "-1%", "5", "", "1e2%", "\u0665%"):
        with pytest.raises(UsageError):
            share_of(text, "c", "It")


@given(
    st.sets(st.integers(0, 10_000), min_size=1, max_size=80),
    st.lists(st.one_of(st.integers(1, 9).map(str), st.integers(1, 40).map(lambda n: f"{n}%")), max_size=5),
    st.integers(0, 5),
)
def test_every_target_is_in_exactly_one_wave_and_always_the_same(numbers: set[int], texts: list[str], who: int) -> None:
    names = {f"n{number}" for number in numbers}
    pilots = set(sorted(names)[:who])
    try:
        waves = parse([*texts, "group pilots", "rest"])
        found = shared(waves, names, [pilots if wave.who is not None else None for wave in waves], "r7-ab12")
    except UsageError as error:
        if error.code in {"wave.share", "wave.number", "wave.empty"}:
            return
        raise
    together = [name for wave in found for name in wave]
    assert sorted(together) == sorted(names)
    assert all(found)
    assert found == shared(waves, sorted(names), [pilots if w.who is not None else None for w in waves], "r7-ab12")


def test_a_wave_is_no_single_site() -> None:
    names = [f"{site}-{n}" for site in ("berlin", "paris", "rome", "wien") for n in range(25)]
    first = shared(parse(["20%", "rest"]), names, [None, None], "r1-0000")[0]
    assert len({name.split("-")[0] for name in first}) == 4
    assert first != shared(parse(["20%", "rest"]), names, [None, None], "r2-0000")[0]
