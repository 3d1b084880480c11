"""The page "Packages": its definitions are definitions, and its keys, rules and orders are those of the code."""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from tiercast_protocol.content.facts.versions import ORDERS, compare
from tiercast_protocol.content.package.definition import Definition, canonical, parse_definition
from tiercast_protocol.content.package.replacing import RULES, refusal

PAGE = (Path(__file__).parents[2] / "docs/packages.md").read_text("utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_definition_of_the_page_can_be_read(block: str) -> None:
    found = parse_definition(block)
    assert parse_definition(canonical(found)) == found


def test_every_key_is_told() -> None:
    table = PAGE.partition("## The definition")[2].partition("\n## ")[0]
    for field in fields(Definition):
        assert re.search(rf"[`\[]{field.name}[\].`]", table), f"{field.name} is not on the page"


def test_orders_are_told_with_examples_that_are_true() -> None:
    rows = re.findall(
        r"^\| `(\w+)`.*\|$", PAGE.partition("## Versions")[2].partition("`replace` says")[0], re.MULTILINE
    )
    assert tuple(rows[1:]) == ORDERS, "the first row is the table's head"
    for order in ORDERS:
        (row,) = re.findall(rf"^\| `{order}`.*\|$", PAGE, re.MULTILINE)
        chain = re.search(r"(`[^`]+`(?: < `[^`]+`)+)", row)
        assert chain is not None
        versions = re.findall(r"`([^`]+)`", chain[1])
        assert all(compare(a, b, order) < 0 for a, b in pairwise(versions)), versions


def test_rules_are_told_and_true() -> None:
    rows = dict(re.findall(r"^\| `(\w+)`(?: \(not said\))? \| (.+) \|$", PAGE, re.MULTILINE))
    assert set(RULES) <= set(rows)
    over = {rule: [not refusal(rule, "", ("2", 1), (v, 1)) for v in ("1", "2", "3")] for rule in RULES}
    assert over == {
        "newer": [True, False, False],
        "equal": [True, True, False],
        "any": [True, True, True],
        "never": [False, False, False],
    }
