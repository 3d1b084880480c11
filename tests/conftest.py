"""How the whole suite runs: the order of the rooms, and what property tests may take.

Rules
- What takes long begins first, so that side by side no worker ends long after the other.  Files stay whole and in
  their order: regions of daemons belong to a file.  Nothing else may depend on this order: each file also runs alone.
- Which files share a process is luck, so a test that changes the environment or the working directory and leaves it so
  fails itself, instead of one that follows.
- The logs of this process are those of its tests: who runs a daemon's code in here does not get to turn them elsewhere,
  for loggers remember where they wrote first.
- An example of a property may take as long as a busy machine takes.  The examples are the same at each run, so that
  what passed here passes elsewhere; the profile `long` draws new ones each time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tiercast_protocol.node import logs

settings.register_profile("long", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("long"), derandomize=True)
settings.load_profile("steady")

ROOT = Path(__file__).parent
#: Tests of the very function.
LOGS = ROOT / "protocol/node/test_logs.py"
FIRST = ("cluster", "chaos", "simulation", "crash", "gateway", "brokers")


@pytest.fixture(autouse=True)
def _own_logs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path != LOGS:
        monkeypatch.setattr(logs, "configure", lambda *_, **__: None)


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    """The first of a test's fixtures, so the last to be torn down: after everything that monkeypatch takes back."""
    before = _left()
    yield
    after = _left()
    if before != after:
        pytest.fail(f"the test leaves behind: {sorted(before ^ after)}", pytrace=False)


def _left() -> set[tuple[bytes, bytes]]:
    # as the bytes that they are (thirty decodings a test are saved), but for the name of the test that runs
    said = {item for item in os.environb.items() if item[0] != b"PYTEST_CURRENT_TEST"}
    return said | {(b"working directory", bytes(Path.cwd()))}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the rooms of real daemons, of stories and of power cuts before the others."""

    def rank(item: pytest.Item) -> int:
        room = item.path.relative_to(ROOT).parts[0] if item.path.is_relative_to(ROOT) else ""
        return FIRST.index(room) if room in FIRST else len(FIRST)

    items.sort(key=rank)
