"""File groups: parts of a package's tree, each for machines of one kind (docs/packages.md, "File groups").  Pure.

Rules (ADR 9)
- A group is one folder at the top of the tree.  A machine takes the first group whose platform (a condition over facts)
  is true of it, with what lies in no group's folder; the group's folder itself is taken away, so that `arm/bin/x`
  becomes `bin/x` there.  Entries are chosen by their paths alone; chunks of other groups are never asked for.
- A package with groups of which none is for a machine fails there; a group without a platform is for every machine.
- A path that group and rest both have must be a folder in both; a link must stay inside what the machine takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tiercast_protocol.content.facts.condition import compile_condition
from tiercast_protocol.content.package.reader import Reader, bare, quoted, shown
from tiercast_protocol.content.sealed.entry import Entry, Kind
from tiercast_protocol.content.sealed.paths import check_path, check_target, order_key
from tiercast_protocol.errors import MessageInvalid, UsageError
from tiercast_protocol.wire.topics import valid_name

MOST_GROUPS = 32


@dataclass(frozen=True, slots=True)
class FileGroup:
    """One group: its name, its folder in the tree, and whose it is; "" is anybody's."""

    name: str
    folder: str
    platform: str = ""


def read_groups(parent: Reader) -> tuple[FileGroup, ...]:
    """The tables `[files.NAME]`, in the file's order: it is the order in which a machine looks."""
    found: list[FileGroup] = []
    for name, reader in parent.named("files"):
        reader.known("folder", "platform")
        if not valid_name(name):
            reader.wrong("folder", f"the group's name is {shown(name)}", "letters, digits and . _ -")
        folder = reader.text("folder", "a folder at the top of the tree", name)
        if not _one_part(folder):
            reader.wrong("folder", f"is {shown(folder)}", "the name of a folder at the top of the tree")
        elif any(one.folder.casefold() == folder.casefold() for one in found):
            reader.wrong("folder", f"is {shown(folder)}, as that of another group", "a folder of its own")
        platform = reader.text("platform", "a condition over facts", "").strip()
        if platform:
            try:
                compile_condition(platform)
            except UsageError as error:
                reader.wrong("platform", error.what, error.todo)
        if found and not found[-1].platform:
            before = f"comes after {found[-1].name}, which is for every machine"
            reader.wrong("folder", before, "groups without a platform at the end")
        found.append(FileGroup(name, folder, platform))
    if len(found) > MOST_GROUPS:
        parent.wrong("files", f"has {len(found)} groups", f"at most {MOST_GROUPS}")
    return tuple(found)


def group_lines(groups: Iterable[FileGroup]) -> list[str]:
    """The tables again."""
    lines: list[str] = []
    for one in groups:
        lines += ["", f"[files.{bare(one.name)}]", f"folder = {quoted(one.folder)}"]
        lines += [f"platform = {quoted(one.platform)}"] if one.platform else []
    return lines


def group_for(groups: Sequence[FileGroup], node: str, facts: str) -> FileGroup | None:
    """The group that a machine takes, None for none; `facts` as JSON.  CPU: compiles conditions."""
    for one in groups:
        if not one.platform or compile_condition(one.platform).is_true(node, facts):
            return one
    return None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a machine takes of a tree: all but `others`; what is in `mine` without that folder."""

    mine: str = ""
    others: frozenset[str] = frozenset()

    @property
    def whole(self) -> bool:
        """Whether it takes the tree as it is."""
        return not self.mine and not self.others

    def takes(self, path: str) -> bool:
        """Whether it takes what stands at `path` in the package."""
        return path.partition("/")[0] not in self.others

    def common(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Those in no group's folder."""
        out = {*self.others, self.mine}
        return (entry for entry in entries if entry.path.partition("/")[0] not in out)

    def own(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Those of the group, each without the group's folder.

        Raises:
            MessageInvalid: a link that would lead out of the tree.
        """
        prefix = f"{self.mine}/"
        for entry in entries:
            if self.mine and entry.path.startswith(prefix):
                yield moved(entry, entry.path.removeprefix(prefix))


def choice_of(groups: Sequence[FileGroup], mine: FileGroup | None) -> Choice:
    """What a machine takes that takes the group `mine`."""
    folders = frozenset(one.folder for one in groups)
    return Choice(mine.folder, folders - {mine.folder}) if mine else Choice("", folders)


def moved(entry: Entry, path: str) -> Entry:
    """The entry at another path.

    Raises:
        MessageInvalid: a link that leads out of the tree there.
    """
    if entry.kind is Kind.LINK:
        check_target(path, entry.target)
    return replace(entry, path=path)


def merged(common: Iterable[Entry], own: Iterable[Entry]) -> Iterator[Entry]:
    """Both in the order of a tree; a folder that both have is one.

    Raises:
        MessageInvalid: a path that is in both and no folder in both.
    """
    left, right = iter(common), iter(own)
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if a is not None and b is not None and a.path == b.path:
            if a.kind is not Kind.FOLDER or b.kind is not Kind.FOLDER:
                raise MessageInvalid(f"{a.path[:80]!r} is in a group and beside it", "manifest")
            b = next(right, None)
        elif b is None or (a is not None and order_key(a.path) < order_key(b.path)):
            yield from () if a is None else (a,)
            a = next(left, None)
        else:
            yield b
            b = next(right, None)


def _one_part(folder: str) -> bool:
    try:
        check_path(folder)
    except MessageInvalid:
        return False
    return "/" not in folder
