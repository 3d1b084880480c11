"""What the root half holds an order against before it changes anything: the rules that were signed (docs/agent.md).

Rules
- They are read out of the signed order and the sealed definition, and held against what this half installed itself:
  nothing that the network half says counts.
- What stands is replaced only as the package's rule of replacing says; what another package here needs is removed only
  where the order says so; what a package needs stands, and nothing that it can't stand beside does.
- A repair mends the very version that stands.
- Others that are to be removed as well do not count as needing: of those the signed orders are shown, too.
- Conditions over facts and the owner's word are the network half's: facts change between two looks, and the owner
  speaks to that half.
"""

from __future__ import annotations

import sqlite3

from tiercast_endpoint.facts.judging import needed_by, said_of
from tiercast_endpoint.facts.needs import lack
from tiercast_endpoint.halves.allowed import No
from tiercast_endpoint.jobs.journal import Job
from tiercast_endpoint.jobs.story import INSTALL, REMOVE
from tiercast_endpoint.trees import holdings
from tiercast_protocol.content.jobs import provisos
from tiercast_protocol.content.jobs.jobtypes import OFFER, REPAIR
from tiercast_protocol.content.jobs.reason import words
from tiercast_protocol.content.package.replacing import refusal


def against(connection: sqlite3.Connection, job: Job, *, now: int) -> No | None:
    """Why the job may not change what stands here, now (milliseconds since 1970); its plan is this half's own."""
    standing = next(iter(holdings.installed(connection, job.package)), None)
    if job.type == REMOVE and not job.options.get(provisos.THOUGH_NEEDED):
        needed = needed_by(connection, job.package, now=now)
        return No("dependency.needed", needed) if needed else None
    if job.type == REPAIR and (standing is None or standing.root != job.root):
        there = f"{standing.version} is" if standing else "nothing of it is"
        return No("verify.absent", f"{job.version} is not installed here; {there}.")
    return _installing(connection, job, standing) if job.type in {INSTALL, OFFER} else None


def _installing(connection: sqlite3.Connection, job: Job, standing: holdings.Installed | None) -> No | None:
    said = said_of(job)
    if standing is not None and standing.root != job.root:
        there = (standing.version, standing.revision)
        if refused := refusal(said.replace, said.order, (job.version, job.package_revision), there):
            return No("replace.refused", refused)
    installed = {one.package: one.version for one in holdings.installed(connection)}
    if (lacking := lack(said.requires, said.conflicts, installed, ())) is not None:
        return No("half.needs", f"By what the root half installed: {words(lacking.reason)}.")
    return None
