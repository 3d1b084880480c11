"""How the whole suite runs: the order of the rooms, and what property tests may take.

Rules
- What takes long begins first, so that side by side no worker ends long after the other.  Files stay whole and in
  their order: regions of daemons belong to a file.  Nothing else may depend on this order: each file also runs alone.
- An example of a property may take as long as a busy machine takes.  The examples are the same at each run, so that
  what passed here passes elsewhere; the profile `long` draws new ones each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("long", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("long"), derandomize=True)
settings.load_profile("steady")

ROOT = Path(__file__).parent
FIRST = ("cluster", "chaos", "simulation", "crash", "gateway", "brokers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the rooms of real daemons, of stories and of power cuts before the others."""

    def rank(item: pytest.Item) -> int:
        room = item.path.relative_to(ROOT).parts[0] if item.path.is_relative_to(ROOT) else ""
        return FIRST.index(room) if room in FIRST else len(FIRST)

    items.sort(key=rank)
