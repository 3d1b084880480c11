"""Chaos tests take as long as real processes and bad links do."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this room is marked, and has a longer deadline."""
    for item in items:
        if "/chaos/" in str(item.path):
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))
