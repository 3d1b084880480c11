"""What somebody who mistyped a name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST = 3


def suggestion(name: str, known: Iterable[str]) -> str:
    """The words that ask for the names most like `name`, to stand before other advice; "" where none is like it."""
    folded = {one.casefold(): one for one in known}
    near = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=_MOST, cutoff=0.7)]
    return f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
