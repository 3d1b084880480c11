"""The command `tiercast`: nouns and verbs over the control socket of any tier.

Exit codes: 0 done; 1 refused or broken; 2 wrong usage; 3 no daemon at the socket; 4 a watched job ended badly
somewhere; 130 interrupted.
"""

from __future__ import annotations

from typing import Annotated

import typer

from tiercast_cli.jobs import actions, drafts, history, jobs, why
from tiercast_cli.jobs.contents import add_contents
from tiercast_cli.jobs.endings import add_endings
from tiercast_cli.jobs.records import add_records
from tiercast_cli.jobs.sets import add_sets
from tiercast_cli.jobs.suspensions import add_suspensions
from tiercast_cli.library import cabinets, depots, packages
from tiercast_cli.links import ledgers, links
from tiercast_cli.nodes import groups, inventories, nodes, owners, power
from tiercast_cli.said.examples import add_examples
from tiercast_cli.said.options import set_socket
from tiercast_cli.wanted import assignments, desired, plans, rollouts

_EPILOG = """\b
Examples:
  tiercast node list
  tiercast package build ./hello --name hello --version 1.0
  tiercast job install hello --on pc-17 --watch
\b
Exit codes:
  0 done   1 refused or broken   2 wrong usage   3 no daemon at the socket
  4 a watched job did not end well everywhere   130 interrupted
"""

app = typer.Typer(
    name="tiercast",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Gets packages onto many machines through thin links, and proves what happened.",
    epilog=_EPILOG,
)
add_records(jobs.app)
actions.add_actions(jobs.app)
drafts.add_drafts(jobs.app)
add_endings(jobs.app)
add_sets(jobs.app)
add_contents(jobs.app)
add_suspensions(jobs.app, links.app, nodes.app)
power.add_power(nodes.app)
why.add(app)
history.add(jobs.app, nodes.app)
desired.add(app)
for noun, part in (
    ("job", jobs),
    ("plan", plans),
    ("rollout", rollouts),
    ("assignment", assignments),
    ("package", packages),
    ("cabinet", cabinets),
    ("node", nodes),
    ("group", groups),
    ("inventory", inventories),
    ("owner", owners),
    ("depot", depots),
    ("link", links),
    ("ledger", ledgers),
):
    add_examples(noun, part.app)
    app.add_typer(part.app, name=noun)


def _version(wanted: bool) -> None:
    if wanted:
        from tiercast_protocol import __version__

        print(f"tiercast {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    socket: Annotated[
        str,
        typer.Option(
            "--socket", envvar="TIERCAST_SOCKET", help="The daemon's control socket; the local server's by default."
        ),
    ] = "",
    host: Annotated[
        str,
        typer.Option(
            "--host",
            envvar="TIERCAST_HOST",
            metavar="URL",
            help="Over ssh to another machine's server: ssh://USER@HOST, with a port or /path/of/control.sock behind.",
        ),
    ] = "",
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Options before the noun."""
    set_socket(socket, host)


@app.command(
    epilog="\b\nExamples:\n  tiercast status\n  tiercast --socket /var/lib/tiercast/gateway/control.sock status\n"
)
def status(*, json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of text.")] = False) -> None:
    """Look inside the daemon at the socket: broker, depot, children."""
    nodes.status(json=json)


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
