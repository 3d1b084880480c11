"""A query for many names, in parts that every database takes.

Rules
- No database takes a condition over any number of values; so many go into each part.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, ColumnElement

_MANY = 10_000


def parts(column: Column[Any], only: Collection[str] | None) -> list[tuple[ColumnElement[bool], ...]]:
    """Conditions that split a query for `only` into parts that every database takes; one empty one for all."""
    if only is None:
        return [()]
    names = sorted(only)
    return [(column.in_(names[at : at + _MANY]),) for at in range(0, len(names), _MANY)]
