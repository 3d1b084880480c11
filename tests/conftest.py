"""The order of the rooms: what takes long begins first, so that side by side no worker ends long after the other.

Rules
- Files stay whole and in their order: regions of daemons belong to a file.
- Nothing else may depend on this order: each file also runs alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent
FIRST = ("cluster", "simulation", "crash", "gateway", "brokers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the rooms of real daemons, of stories and of power cuts before the others."""

    def rank(item: pytest.Item) -> int:
        room = item.path.relative_to(ROOT).parts[0] if item.path.is_relative_to(ROOT) else ""
        return FIRST.index(room) if room in FIRST else len(FIRST)

    items.sort(key=rank)
