"""What is said of a job that was just made, beside how many it is for.

Rules
- One sentence for each thing that the server decided and nobody said, with its figures, and what to do otherwise.
"""

from __future__ import annotations

from typing import Any

from tiercast_cli.shown import words


def remarks(job: dict[str, Any]) -> list[str]:
    """The sentences, by the answer of `job.create`."""
    found: list[str] = []
    if over := job.get("fetch_spread_s"):
        found.append(
            f"They begin to fetch spread over {words.span(over)}, so that no link on the way is asked for more."
        )
    if untold := job.get("untold"):
        found.append(
            f"Who joins its groups later is found by the server alone, and not at a site that is cut off: to tell the"
            f" gateways whom it means takes {untold:,} characters, {job['most_told']:,} are the most.  Make a job of"
            " its own for each group whose members change by themselves."
        )
    return found
