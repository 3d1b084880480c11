"""Counters of this process.

Rules
- A name is declared once, with a sentence that says what it counts; names are `part_what_unit`.
- Adding costs one addition: no locks (one event loop), no library.
- `snapshot()` is what the control socket hands out; rendering for a collector is not done here.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counter:
    """Only ever grows.  `by` splits it by one label, such as a peer or a reason."""

    name: str
    doc: str
    value: int = 0
    by: dict[str, int] = field(default_factory=dict)

    def add(self, n: int = 1, label: str = "") -> None:
        """Count `n` more; a label beyond the 200th is counted as "other", so a peer can't grow us."""
        self.value += n
        if label:
            if label not in self.by and len(self.by) >= _MAX_LABELS:
                label = "other"
            self.by[label] = self.by.get(label, 0) + n


@dataclass(slots=True)
class Metrics:
    """All counters of one process."""

    counters: dict[str, Counter] = field(default_factory=dict)

    def counter(self, name: str, doc: str) -> Counter:
        """The counter `name`, made at its first mention."""
        return self.counters.setdefault(name, Counter(name, doc))

    def snapshot(self) -> dict[str, int | dict[str, int]]:
        """Every value by name; a counter with labels also as `<name>_by`."""
        found: dict[str, int | dict[str, int]] = {}
        for counter in self.counters.values():
            found[counter.name] = counter.value
            if counter.by:
                found[counter.name + "_by"] = dict(counter.by)
        return dict(sorted(found.items()))


_MAX_LABELS = 200

#: The process's own.
METRICS = Metrics()
