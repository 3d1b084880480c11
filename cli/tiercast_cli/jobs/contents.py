"""`tiercast job verify` and `tiercast job repair`: whether what is installed is as it was sealed, and making it so.

Rules
- They are jobs like any other; who may be meant, and what is shown of them, is said once (`jobs`).
"""

from __future__ import annotations

from typing import Any

import typer

from tiercast_cli.jobs.jobs import ORDER, order
from tiercast_cli.said.options import OnEndpoints, Package
from tiercast_cli.said.terms import JOB, taking
from tiercast_cli.said.times import OF_INSTALLATION, OF_TRANSFER


@taking({"on": (OnEndpoints, []), **ORDER})
def verify(package: Package, **given: Any) -> None:
    """Compare the files of what is installed with what was sealed, by digest; nothing is changed."""
    order("verify", package, given)


@taking({"on": (OnEndpoints, []), **ORDER, **OF_TRANSFER, **OF_INSTALLATION, **JOB})
def repair(package: Package, **given: Any) -> None:
    """Mend what is installed where it differs: only wrong chunks are fetched, and no program of the package runs."""
    order("repair", package, given)


def add_contents(job: typer.Typer) -> None:
    """Put these commands below their noun."""
    job.command("verify")(verify)
    job.command("repair")(repair)
