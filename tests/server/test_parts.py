"""A query for many names, in parts."""

from __future__ import annotations

import pytest
from sqlalchemy import Column, MetaData, String, Table

from tiercast_server import parts as module
from tiercast_server.parts import parts


def test_every_name_is_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    column: Column[str] = Table("t", MetaData(), Column("name", String)).c.name
    monkeypatch.setattr(module, "_MANY", 2)
    assert parts(column, None) == [()]
    assert parts(column, []) == []
    split = [one.right.value for (one,) in parts(column, ["c", "a", "b"])]  # type: ignore[attr-defined]
    assert split == [["a", "b"], ["c"]]
