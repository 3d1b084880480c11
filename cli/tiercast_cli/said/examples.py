"""An example for every command, shown at the end of its help.

Rules
- One table, so that a command without an example is seen at once; a test parses every line of it.
- Names are those of the README: whoever followed it may type them as they stand.
"""

from __future__ import annotations

import typer

EXAMPLES: dict[str, tuple[str, ...]] = {
    "job verify": ("job verify hello --group sales --watch", "job verify hello=1.0 --on pc-1"),
    "job repair": ("job repair hello --on pc-1 --watch",),
    "job draft verify": ("job draft verify hello --on pc-1",),
    "job draft repair": ("job draft repair hello --on pc-1",),
    "job purge": ("job purge hello --on berlin",),
    "job watch": ("job watch j-17",),
    "job list": (
        "job list --json",
        "job list --state open --state cancelling --type install --package editor --since 7d",
        "job list --target pc-17 --search nightly --folder sites/berlin",
    ),
    "job create": ("job create --file nightly.toml", "job create --file - --draft --json"),
    "job start": ("job start j-17 --watch",),
    "job copy": ("job copy j-17", "job copy j-17 --folder drafts"),
    "job move": ("job move j-17 sites/berlin", "job move j-17 /"),
    "job folders": ("job folders",),
    "job from": (
        "job from nightly --set package=editor=2.1 --set on=pc-17",
        "job from nightly --file values.toml --set on=pc-17 --draft",
    ),
    "job draft purge": ("job draft purge hello --on berlin",),
    "job template save": (
        "job template save j-17 nightly --parameter package --parameter on --parameter expires=7d",
        "job template save j-17 nightly --parameter version --replace",
    ),
    "job template list": ("job template list",),
    "job template show": ("job template show nightly",),
    "job template delete": ("job template delete nightly",),
    "job show": ("job show j-17", "job show 17 --json"),
    "job cancel": ("job cancel j-17", "job cancel j-17 --on pc-3 --below berlin", "job cancel j-17 --force"),
    "job commit": ("job commit j-17", "job commit j-17 --below berlin", "job commit j-17 --force"),
    "job accept": ("job accept j-17", "job accept j-17 --on pc-3 --json"),
    "job undo": ("job undo j-17", "job undo j-17 --below berlin"),
    "job rerun": ("job rerun j-17 --failed", "job rerun j-17 --failed --unreached --expires 7d"),
    "job delete": ("job delete j-17",),
    "job receipt": ("job receipt j-17 pc-1",),
    "plan check": ("plan check night.toml",),
    "plan show": ("plan show p1-ab12", "plan show 1 --json"),
    "plan list": ("plan list",),
    "plan cancel": ("plan cancel p1-ab12",),
    "owner list": ("owner list", "owner list --by group --json", "owner list --job j-17 --ended"),
    "rollout list": ("rollout list", "rollout list --json"),
    "rollout show": ("rollout show r3-5d1a", "rollout show 3 --json"),
    "rollout next": ("rollout next r3-5d1a",),
    "rollout pause": ("rollout pause r3-5d1a",),
    "rollout resume": ("rollout resume r3-5d1a",),
    "rollout cancel": ("rollout cancel r3-5d1a",),
    "rollout undo": ("rollout undo r3-5d1a --dry-run", "rollout undo r3-5d1a --go-on 95%"),
    "assignment list": ("assignment list", "assignment list --json"),
    "assignment show": ("assignment show editor",),
    "assignment delete": ("assignment delete editor",),
    "assignment pause": ("assignment pause editor",),
    "assignment resume": ("assignment resume editor", "assignment resume editor --confirm 240"),
    "assignment retry": ("assignment retry editor", "assignment retry editor --on pc-3"),
    "assignment history": ("assignment history", "assignment history --limit 5 --json"),
    "package entry": ("package entry hello 2.0",),
    "package list": ("package list", "package list --cabinet main"),
    "package move": ("package move editor hello=1.0 --into desktop",),
    "cabinet rename": ("cabinet rename desktop office",),
    "cabinet rights": (
        "cabinet rights desktop --reader ann --reader bob --writer ann",
        "cabinet rights desktop --anybody",
    ),
    "package delete": ("package delete hello=1.0",),
    "cabinet add": ("cabinet add tools",),
    "cabinet list": ("cabinet list",),
    "cabinet show": ("cabinet show main",),
    "cabinet delete": ("cabinet delete tools",),
    "node list": ("node list", "node list --json"),
    "node tree": ("node tree",),
    "node replace": ("node replace berlin",),
    "node show": ("node show pc-1",),
    "node remove": ("node remove pc-1",),
    "node status": ("node status",),
    "group join": ("group join everybody pc-3 pc-4",),
    "group leave": ("group leave everybody pc-3",),
    "group set": ('group set everybody --window "mon-fri 22:00-05:00"', "group set everybody --window none"),
    "group delete": ("group delete everybody",),
    "group list": ("group list",),
    "group show": ("group show everybody",),
    "inventory show": ("inventory show pc-1",),
    "depot show": ("depot show", "depot show --node berlin"),
    "depot pin": ("depot pin hello --node berlin",),
    "depot unpin": ("depot unpin hello --node berlin",),
    "depot keep": ("depot keep hello --for 30d --node berlin",),
    "depot export": ("depot export hello /media/stick", "depot export hello=1.0 /media/stick --node berlin"),
    "depot seed": ("depot seed /media/stick",),
    "depot who": ("depot who hello", "depot who hello=1.0 --within 20s"),
    "depot audit": ("depot audit --watch", "depot audit --package hello --node berlin", "depot audit --rate 20MB/s"),
    "depot evict": ("depot evict --node berlin --dry-run", "depot evict --node berlin --bytes 20GiB"),
    "job suspend": ("job suspend j-17", "job suspend j-17 --below berlin --for 2h", "job suspend j-17 --on pc-1"),
    "job resume": ("job resume j-17", "job resume j-17 --below berlin"),
    "node suspend": ("node suspend berlin --until 18:00", "node suspend pc-1"),
    "node resume": ("node resume berlin",),
    "node holds": ("node holds", "node holds --node berlin"),
    "link show": ("link show berlin", "link show pc-1 --node berlin --json", "link show"),
    "link suspend": ("link suspend berlin --for 30m", "link suspend pc-1 --node berlin"),
    "link resume": ("link resume pc-1 --node berlin",),
    "link window list": ("link window list berlin",),
    "link window remove": ("link window remove berlin --number 1",),
    "ledger show": ("ledger show --link berlin --since 24h", "ledger show --node berlin --csv berlin.csv"),
    "ledger check": ("ledger check",),
    "link list": ("link list", "link list --node berlin"),
}


def add_examples(noun: str, part: typer.Typer) -> None:
    """Give each command of `part` that brings no epilog of its own the one of the table."""
    for group in part.registered_groups:
        if group.typer_instance is not None:
            add_examples(f"{noun} {group.name}", group.typer_instance)
    for command in part.registered_commands:
        function = command.callback.__name__ if command.callback else ""
        lines = EXAMPLES.get(f"{noun} {command.name or function.rstrip('_')}", ())
        if lines and not command.epilog:
            title = "Example:" if len(lines) == 1 else "Examples:"
            command.epilog = "\n".join(["\b", title, *(f"  tiercast {line}" for line in lines)])
