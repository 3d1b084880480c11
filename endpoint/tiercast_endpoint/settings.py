"""The agent's settings: `endpoint.toml` in its state folder.

Rules
- `join` writes the file with a comment per key; the daemon only reads it.
- Who the node is stands elsewhere (`enrolled.json`, key, password): settings may be copied from node to node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiercast_endpoint.facts.ownfacts import OwnFacts
from tiercast_endpoint.jobs.powering import PowerSettings
from tiercast_endpoint.owner.notifying import NotifySettings
from tiercast_endpoint.trees.materials import Limits
from tiercast_protocol.content.facts.inventory import MOST_GROUPS
from tiercast_protocol.content.package.variables import LONGEST_VALUE
from tiercast_protocol.errors import UsageError
from tiercast_protocol.node.address import TlsFiles
from tiercast_protocol.node.config import Duration, Size, setting
from tiercast_protocol.node.logs import Format, Level
from tiercast_protocol.node.owner import TransferSettings
from tiercast_protocol.node.standing import ParentSettings
from tiercast_protocol.transfer import calendar
from tiercast_protocol.wire.topics import valid_name

TITLE = "Settings of this Tiercast endpoint.  Restart the agent after a change."
#: Below this a single chunk may be larger than the credit.
_LEAST_WINDOW = 512 << 10
#: What an expression can name after `labels.`; how many labels there may be, and how long their texts.
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
_MOST_LABELS, _LONGEST = 100, 255
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_SOURCES = ("dpkg", "rpm", "pip")
#: A variable, or a package and its variable; how many there may be.
_VARIABLE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*\.)?[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
_MOST_VALUES = 500


def _absolute(path: Path) -> str | None:
    return None if path.is_absolute() else "an absolute path"


def _socket(text: str) -> str | None:
    return None if not text or Path(text).is_absolute() else 'an absolute path, or ""'


def _windows(text: str) -> str | None:
    try:
        windows = calendar.parse(text) if text else ()
    except UsageError as error:
        return error.todo.removeprefix("Write ").removesuffix(".")
    return "windows without a rate" if any(one.rate is not None for one in windows) else None


def _word(text: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", text) else "the name of a group of users"


def _mode(text: str) -> str | None:
    return None if text in {"0660", "0600"} else '"0660" or "0600"'


def _window(size: int) -> str | None:
    return None if size >= _LEAST_WINDOW else '"512KiB" or more'


def _labels(labels: Mapping[str, str]) -> str | None:
    fits = all(_LABEL.match(key) and len(value) <= _LONGEST for key, value in labels.items())
    return None if fits and len(labels) <= _MOST_LABELS else "at most 100 words, each with a text of up to 255 letters"


def _variables(values: Mapping[str, str]) -> str | None:
    fits = all(_VARIABLE.match(key) and len(value) <= LONGEST_VALUE for key, value in values.items())
    rule = f"at most {_MOST_VALUES} of NAME or PACKAGE.NAME, each with a text of up to {LONGEST_VALUE} letters"
    return None if fits and len(values) <= _MOST_VALUES else rule


def _groups(groups: tuple[str, ...]) -> str | None:
    return None if all(map(valid_name, groups)) and len(groups) <= MOST_GROUPS else f"at most {MOST_GROUPS} names"


def _mac(text: str) -> str | None:
    return None if not text or _MAC.match(text) else 'a hardware address such as "52:54:00:12:34:56"'


def _sources(names: tuple[str, ...]) -> str | None:
    return None if set(names) <= set(_SOURCES) else f"some of {', '.join(_SOURCES)}"


@dataclass(frozen=True, slots=True)
class InventorySettings:
    """What the machine tells of itself."""

    software: tuple[str, ...] = setting(
        _SOURCES, doc="Whose lists of installed software are told of; [] tells nothing.", check=_sources
    )
    facts: Path = setting(
        Path("facts.d"), doc="Folder of programs that say facts of your own; beside this file if it is no whole path."
    )
    facts_every: Duration = setting(Duration(3600.0), doc="How often they are asked, beside every start.")
    facts_timeout: Duration = setting(Duration(10.0), doc="Longest that one of them may run.")
    facts_limit: Size = setting(Size(64 << 10), doc="Most that one of them may print.")
    wake_mac: str = setting(
        "", doc="Hardware address by which the machine is woken, if it is none that it is online with.", check=_mac
    )

    def programs(self, state: Path) -> OwnFacts:
        """Those that say the owner's facts."""
        folder = state / self.facts
        return OwnFacts(folder, timeout_s=self.facts_timeout, limit=self.facts_limit, every_s=self.facts_every)


@dataclass(frozen=True, slots=True)
class Settings:
    """All of `endpoint.toml`."""

    install_root: Path = setting(
        doc="Where packages are installed: each one is a link <install_root>/<package>.", check=_absolute
    )
    prefix: Path = setting(
        Path("/"), doc="Packages place files of the machine (their actions) below this folder.", check=_absolute
    )
    reserve: Size = setting(
        Size(64 << 20), doc="So much of every disk stays free; a job that would take it is refused."
    )
    staging_quota: Size | None = setting(
        None, doc="Most bytes of chunks that wait to be installed; unset is what the disk allows."
    )
    keep_previous: bool = setting(
        default=True, doc="Keep one older version of each package, so that going back needs nothing from above."
    )
    install_window: str = setting(
        "",
        doc='Packages are installed and removed only inside: "mon-fri 18:00-07:00; sat,sun 00:00-24:00"; "" is always.',
        check=_windows,
    )
    at_stop: Duration = setting(
        Duration(45.0), doc="When the agent is stopped, jobs that wait for that (--install-when shutdown) have so long."
    )
    root_socket: str = setting(
        "",
        doc='Socket of the root half, where a process of its own installs packages; "" where this one does.',
        check=_socket,
    )
    agent_package: str = setting(
        "tiercast-agent", doc="The package whose versions are this agent; only where the starter starts it."
    )
    agent_trial: Duration = setting(
        Duration(600.0), doc="A new version of the agent that reaches no parent in this time is taken back."
    )
    window: Size = setting(
        Size(8 << 20),
        doc="Bytes that may be under way from the parent; more only for links of long delay.",
        check=_window,
    )
    labels: dict[str, str] = setting(
        dict,
        doc='What jobs may aim at beside the facts of the machine: {site = "berlin", use = "kiosk"}.',
        check=_labels,
    )
    variables: dict[str, str] = setting(
        dict,
        doc='Values of packages\' variables, for all or for one: {port = "8081", "editor.port" = "9090"}.',
        check=_variables,
    )
    groups: tuple[str, ...] = setting(
        (), doc="Groups of the region that this machine joins by itself; their maker must allow that.", check=_groups
    )
    socket_group: str = setting(
        "tiercast",
        doc="Besides root and the agent's user, members of this group speak for the owner: hold, defer, accept ...",
        check=_word,
    )
    socket_mode: str = setting(
        "0660", doc='Who may connect: "0660" is the group too, "0600" the agent\'s user and root alone.', check=_mode
    )
    notify: NotifySettings = setting(NotifySettings, doc="The owner's own program, told what happens here.")
    power: PowerSettings = setting(PowerSettings, doc="What shuts this machine down, and restarts it.")
    inventory: InventorySettings = setting(InventorySettings, doc="What the region is told of this machine.")
    transfer: TransferSettings = setting(TransferSettings, doc="What this machine asks of the link to its parent.")
    log_level: Level = setting("info", doc="debug, info, warning or error.")
    log_format: Format = setting("auto", doc="json, console, or auto (json when not a terminal).")
    parents: ParentSettings = setting(ParentSettings, doc="What it does while its parent is away.")
    tls: TlsFiles = setting(TlsFiles, doc="Only where the parent's broker is reached by mqtts://.")

    def windows(self) -> tuple[calendar.Window, ...]:
        """When packages may be installed here."""
        return calendar.parse(self.install_window) if self.install_window else ()

    def limits(self) -> Limits:
        """What the installer keeps to."""
        return Limits(reserve=self.reserve, keep_previous=self.keep_previous, windows=self.windows())


def default_root(state: Path) -> Path:
    """Where packages go when nobody said: /opt for the system's own agent, else inside its folder."""
    return Path("/opt/tiercast") if state == Path("/var/lib/tiercast/endpoint") else state / "apps"
