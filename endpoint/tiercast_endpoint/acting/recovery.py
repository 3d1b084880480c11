"""Before services start: placed files that a crash left between old and new get whole (docs/actions.md, "Crash").

Rules
- An action whose names were being changed gets all its new ones; what was only staged is swept; of a job that was going
  back, all old ones, as far back as there are only placed files.  What programs did, and what else is to be done of the
  job, waits for the agent.
- Nothing is written to the journal: the agent does the same again when it starts, and finds it done.
- Without a journal, or with one of another version, there is nothing to do here.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from tiercast_endpoint.acting.changes import Changer
from tiercast_endpoint.acting.effects import BEGUN, DO, LOST, READY, Effect
from tiercast_endpoint.acting.prefix import Prefix
from tiercast_endpoint.jobs.story import Snapshot, Step
from tiercast_protocol.content.package.actionread import unpack_actions
from tiercast_protocol.content.package.actiontypes import PLACED

_OPEN = """SELECT j.snapshot, e.phase, e.body FROM effect e JOIN job j ON j.n = e.job
 WHERE j.finished = 0 AND e.phase <> ? ORDER BY e.job DESC, e.n DESC"""


def recover(database: Path, prefix: Path, keep: Path) -> list[str]:
    """Make whole what lies between old and new; the actions that it was done for.

    Raises:
        ActError, OSError: it could not be done; the agent tries again, and tells it.
    """
    if not database.is_file():
        return []
    changer = Changer(Prefix(prefix), keep)
    done: list[str] = []
    stopped = False
    for snapshot, phase, body in _effects(database):
        effect = msgspec.msgpack.decode(body, type=Effect)
        action = unpack_actions(effect.action)[0]
        placed = action.class_ == PLACED
        if snapshot.step is Step.REVERT:
            stopped |= not placed
            if not stopped:
                changer.restore(effect.changes, switched=phase != BEGUN)
                done.append(f"{action.shown}: back")
        elif phase == BEGUN:
            changer.restore(effect.changes, switched=False)
            done.append(f"{action.shown}: swept")
        elif phase == READY and (placed or effect.kind == DO):
            changer.switch(effect.changes)
            done.append(f"{action.shown}: placed")
    return done


def _effects(database: Path) -> list[tuple[Snapshot, str, bytes]]:
    connection = sqlite3.connect(f"file:{database}?mode=rw", uri=True)
    try:
        rows = connection.execute(_OPEN, (LOST,)).fetchall()
        return [(msgspec.msgpack.decode(row[0], type=Snapshot), row[1], row[2]) for row in rows]
    except (sqlite3.OperationalError, msgspec.DecodeError):
        return []
    finally:
        connection.close()
