"""Options of an order that whoever carries it out must understand (docs/protocol.md, section 7).  Pure.

Rules
- An option that narrows or changes what is done must not be passed over: done as if it were not there, a job that was
  to wait for its window would begin at once.  The server names such options in the order (`Order.must`); a node that
  does not know one refuses the order, with a receipt.
- What only steers the way of the content, or what is shown of the job, may be passed over by those who carry it out.
- A further option that nodes act on is a further word here, in the change that makes them act on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tiercast_protocol.content.jobs import provisos, times
from tiercast_protocol.content.package import actions, phases, reboots

#: All that nodes of this version act on, and that is not to be passed over.
UNDERSTOOD: frozenset[str] = frozenset(
    {
        *(times.WORDS - {times.PREPARE_BY, times.DEADLINE}),
        *provisos.PACKAGE_WORDS,
        *(provisos.CONDITION, provisos.CONDITION_FALSE, provisos.REPLACE, provisos.WITH_OFFER),
        *phases.TO_OBEY,
        reboots.REBOOT,
        *(word for words in actions.OPTIONS.values() for word in words),
    }
)


def must_of(options: Mapping[str, object]) -> list[str]:
    """The words of `options` that must be understood, in the order of the alphabet."""
    return sorted(UNDERSTOOD.intersection(options))


def not_understood(must: Iterable[str], known: Collection[str] = UNDERSTOOD) -> list[str]:
    """Those of an order's `must` that are unknown here."""
    return sorted(word for word in must if word not in known)
