"""Waves: who of a rollout's targets is in which.  Pure (docs/jobs.md, "Rollouts").

Rules
- A wave is a number, a percentage of all targets, a target expression, or `rest`, which comes last.
- Whoever an expression names stands in the first such wave; numbers and percentages take of the others.
- These are taken in an order that looks random and is always the same: by the digest of the rollout's id and the
  node's name, so that a wave is no single site.
- Every target is in exactly one wave and every wave has one; what does not add up is refused with the figures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tiercast_protocol.content.jobs import target
from tiercast_protocol.content.jobs.breaker import WHOLE
from tiercast_protocol.content.jobs.target import Expression
from tiercast_protocol.errors import UsageError

MOST = 50
_SHARE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*%\Z", re.ASCII)
_NOTHING = "Nothing was done."


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave as it was asked for: of `number`, `share`, `who` at most one; none of them is the rest."""

    text: str
    number: int = 0
    share: int = 0
    who: Expression | None = None

    @property
    def rest(self) -> bool:
        """Whether it is whoever is left."""
        return not self.number and not self.share and self.who is None


def share_of(text: str, code: str, what: str) -> int:
    """Thousandths of a hundred of "95%" or "2.5%".

    Raises:
        UsageError: `code`, where it is none, or is over 100.
    """
    found = _SHARE.match(text.strip())
    share = round(float(found[1]) * 1000) if found else -1
    if not 0 <= share <= WHOLE:
        raise UsageError(code=code, what=f"{what} {text[:40]!r} is no share of 0% to 100%.", todo=_NOTHING)
    return share


def parse(texts: Sequence[str]) -> list[Wave]:
    """The waves in order.

    Raises:
        UsageError: wave.invalid, wave.share, wave.rest or target.syntax.
    """
    if not 0 < len(texts) <= MOST:
        what = f"A rollout has 1 to {MOST} waves, not {len(texts)}."
        raise UsageError(code="wave.invalid", what=what, todo=f"Say --wave 1 --wave 10% --wave rest. {_NOTHING}")
    waves = [_parse(text.strip()) for text in texts]
    if any(wave.rest for wave in waves[:-1]):
        raise UsageError(
            code="wave.rest", what="After `rest` nobody is left for another wave.", todo=f"Say it last. {_NOTHING}"
        )
    if (shares := sum(wave.share for wave in waves)) > WHOLE:
        raise UsageError(
            code="wave.share",
            what=f"The waves come to {shares / 1000:g}% of the targets; 100% is all.",
            todo=f"Each wave has a share of its own; say `rest` for whoever is left. {_NOTHING}",
        )
    return waves


def _parse(text: str) -> Wave:
    if text == "rest":
        return Wave(text)
    if text.endswith("%"):
        share = share_of(text, "wave.share", "The wave")
        if share:
            return Wave(text, share=share)
    elif text.isdecimal() and len(text) <= 9:  # noqa: PLR2004 - more targets there are not
        if int(text):
            return Wave(text, number=int(text))
    elif text:
        return Wave(text, who=target.parse(text))
    raise UsageError(
        code="wave.invalid",
        what=f"A wave of {text or 'nothing'} is none.",
        todo=f"Write a number, a percentage, a target expression or `rest`. {_NOTHING}",
    )


def shared(
    waves: Sequence[Wave], names: Collection[str], meant: Sequence[Collection[str] | None], seed: str
) -> list[list[str]]:
    """The names of every wave, sorted; `meant` is by wave whom its expression names, None where it has none.

    Raises:
        UsageError: wave.empty, wave.number or wave.left.
    """
    left = set(names)
    named: list[set[str]] = []
    for who in meant:
        mine = left & set(who or ())
        named.append(mine)
        left -= mine
    order = sorted(left, key=lambda name: (blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest(), name))
    found: list[list[str]] = []
    for wave, mine in zip(waves, named, strict=True):
        if wave.who is None:
            size = _size(wave, len(names), len(order), len(found) + 1)
            taken, order = order[:size], order[size:]
            mine = set(taken)  # noqa: PLW2901 - whom it takes, in place of whom it names
        if not mine:
            raise UsageError(
                code="wave.empty",
                what=f"Wave {len(found) + 1} ({wave.text}) would have nobody: the rollout is for {len(names)} targets,"
                f" and those before it have {sum(map(len, found))}.",
                todo=f"Leave it out, or let others have fewer. {_NOTHING}",
            )
        found.append(sorted(mine))
    if order:
        raise UsageError(
            code="wave.left",
            what=f"{len(order)} of {len(names)} targets are in no wave.",
            todo=f"Add --wave rest. {_NOTHING}",
        )
    return found


def _size(wave: Wave, whole: int, left: int, number: int) -> int:
    if wave.number > left:
        raise UsageError(
            code="wave.number",
            what=f"Wave {number} is to have {wave.number} targets, and {left} of {whole} are left for it.",
            todo=f"Ask for fewer, or say `rest`. {_NOTHING}",
        )
    if wave.rest:
        return left
    return wave.number or min(left, math.ceil(whole * wave.share / WHOLE))
