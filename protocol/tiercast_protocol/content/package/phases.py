"""Jobs in two phases: prepared everywhere, then committed, then accepted or undone (docs/transactions.md).  Pure.

Rules
- A step is an order of the next revision of the job that says, in `step`, how far the target is to go: orders that come
  late, twice, or past each other come to the same.
- Who was told to undo is never told further: nothing is committed after an undo that was acknowledged.
- How many must be prepared, and how many may fail, is the server's to count; an endpoint reads neither.
"""

from __future__ import annotations

from collections.abc import Mapping

from tiercast_protocol.errors import UsageError

TWO_PHASE, STEP = "two_phase", "step"
AT_LEAST, UNDO_IF = "commit_at_least", "undo_if_failed"
PREPARE, COMMIT, ACCEPT, UNDO = "prepare", "commit", "accept", "undo"
#: How far each goes; undo goes back.
STEPS = (PREPARE, COMMIT, ACCEPT, UNDO)
#: What whoever carries it out must understand.
TO_OBEY = frozenset({TWO_PHASE, STEP})
#: What an administrator may say.
SAID = frozenset({TWO_PHASE, AT_LEAST, UNDO_IF})

#: What a target that is prepared, and one that is committed, says that it waits for.
PREPARED, COMMITTED = "commit.waits", "accept.waits"
_WHOLE = 100


def step_of(options: Mapping[str, object]) -> str:
    """How far an order goes: "" where it is not in two phases."""
    if options.get(TWO_PHASE) is not True:
        return ""
    step = options.get(STEP, PREPARE)
    return step if isinstance(step, str) and step in STEPS else PREPARE


def further(now: str, ordered: str) -> str:
    """How far it is to go that was to go as far as `now`, once `ordered` came."""
    return max(now, ordered, key=lambda step: STEPS.index(step) if step else -1)


def phase_of(state: str, code: str) -> str:
    """What a target is shown as: preparing, prepared, committing, committed, accepted, undone, or how it failed."""
    said = {PREPARED: "prepared", COMMITTED: "committed"}.get(code)
    by_state = {"done": "accepted", "cancelled": "undone", "installing": "committing", "staged": "preparing"}
    return said or by_state.get(state, "preparing" if state in {"ordered", "waiting", "fetching"} else state)


def check(type_: str, options: Mapping[str, object]) -> None:
    """Refuse what can't be.

    Raises:
        UsageError: set.type, set.step, set.alone or set.share.
    """
    if STEP in options:
        raise UsageError("set.step", "A job can't be ordered further than it is prepared.", "", "Leave 'step' out.")
    found = sorted(SAID & options.keys())
    if not found:
        return
    if type_ != "install":
        raise UsageError(
            "set.type",
            f"A job to {type_} has one phase.",
            _flag(found[0]),
            "Only an install has two. Nothing was done.",
        )
    if options.get(TWO_PHASE) is not True:
        raise UsageError(
            "set.alone", f"{_flag(found[0])} is for jobs in two phases.", _flag(found[0]), "Add --two-phase."
        )
    for word in (AT_LEAST, UNDO_IF):
        value = options.get(word)
        if value is not None and (type(value) is not int or not 1 <= value <= _WHOLE):
            raise UsageError("set.share", f"{str(value)[:40]!r} is no share of a set.", _flag(word), "Say 1% to 100%.")


def check_one_phase(options: Mapping[str, object]) -> None:
    """Refuse two phases where each wave waits for the one before to be done: set.rollout."""
    if found := sorted(SAID & options.keys()):
        what = "The waves of a rollout are not in two phases: a prepared wave would never be done."
        raise UsageError("set.rollout", what, _flag(found[0]), "Order it with `job install`. Nothing was done.")


def _flag(word: str) -> str:
    return "--" + word.replace("_", "-")
