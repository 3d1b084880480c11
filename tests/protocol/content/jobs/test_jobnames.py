"""What a person types for a job names one, or none."""

from __future__ import annotations

import pytest

from tiercast_protocol.content.jobs.jobnames import named, number_of

KNOWN = ("j17-8fd8", "j7-0001", "j170-aaaa", "berlin-j17-0002", "")


@pytest.mark.parametrize("asked", ["j17-8fd8", "17", "j17", "j-17"])
def test_the_id_and_the_number_name_it(asked: str) -> None:
    assert named(asked, KNOWN) == "j17-8fd8"


@pytest.mark.parametrize("asked", ["", "j", "-", "j1", "8fd8", "j17-", "j17-8fd", "--17", "jj17", "\u00b97"])
def test_nothing_else_does(asked: str) -> None:
    assert named(asked, KNOWN) == ""


def test_where_two_could_be_meant_none_is() -> None:
    assert named("17", (*KNOWN, "j17-beef")) == ""
    assert named("j17-beef", (*KNOWN, "j17-beef")) == "j17-beef"


def test_numbers() -> None:
    assert [number_of(text) for text in ("17", "j17", "j-17", "j17-8fd8", "9" * 16)] == [17, 17, 17, None, None]
