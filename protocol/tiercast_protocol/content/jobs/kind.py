"""One row of the catalogue of what can be waited for (`waiting.py`).

Rules
- `says`, `freed` and `todo` are templates: `{name}` or `{name:form}` is a figure; `node`, `peer`, `since` and `until`
  are those of the reason; forms are bytes, rate, s (seconds), at (a moment), n (a number).  A part in [brackets] is
  left out where a figure in it is missing, [name? ...], [!name? ...] and [name=value? ...], or several of these with
  commas between, where that is not so.  JOB in a command is the job's id: whoever shows it knows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

ENDPOINT, GATEWAY, SERVER = "endpoint", "gateway", "server"
_FIELD = re.compile(r"\{(\w+)(?::\w+)?\}")
WHEN = re.compile(r"^((?:!?\w+(?:=\w+)?,?)+)\? ")
_PART = re.compile(r"\[([^\]]*)\]")
_OWN = frozenset({"node", "peer", "since", "until"})


@dataclass(frozen=True, slots=True)
class Kind:
    """One row.

    Attributes:
        tiers: where it is known first-hand.
        says: what is waited for.
        freed: the event that frees it.
        todo: what a person can do; "" for nothing but to wait.
        cuts: while it holds nothing newer comes from below, so it goes before whatever is said there.
        moves: it is under way: nothing is wrong.
        more: figures that no template shows.
    """

    tiers: tuple[str, ...]
    says: str
    freed: str
    todo: str = ""
    cuts: bool = False
    moves: bool = False
    more: frozenset[str] = frozenset()
    #: Figures that it may have.
    fields: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """The figures are those of the templates, and what else was named."""
        text = self.says + self.freed + self.todo
        asked = [when[1] for part in _PART.findall(text) if (when := WHEN.match(part))]
        named = {name.lstrip("!").partition("=")[0] for names in asked for name in names.split(",")}
        found = frozenset(_FIELD.findall(text)) | named | self.more
        object.__setattr__(self, "fields", found - _OWN)
