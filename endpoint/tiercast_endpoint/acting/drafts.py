"""What an action of class `placed` is to change: looked up beforehand, journaled, and only then done.

Rules
- A path that another package placed is refused by that package's name; so is a folder where a file is to be, and the
  other way round.  What nobody of us placed is kept, and comes back with the inverse.
- A file that somebody changed by hand is never lost: by its rule it is kept aside (`replace`), stays while ours is put
  beside it (`keep`), or takes our changes too (`merge`, three ways; where both changed a line, as `keep`).
- Folders that are missing on the way are made, and go again when they are empty and nobody else has things in them.
- What the older version placed by the same action and this one does not goes back to what stood before the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tiercast_endpoint.acting import values
from tiercast_endpoint.acting.changes import ASIDE, Change, Fill, Here, Kept
from tiercast_endpoint.acting.effects import BESIDE, SETTINGS, WHOLE, Owned
from tiercast_endpoint.acting.folders import builder
from tiercast_endpoint.acting.merging import merged
from tiercast_endpoint.acting.prefix import FILE, FOLDER, LINK, NONE, ActError, Image, Prefix, digest_of
from tiercast_endpoint.acting.wants import Want, Where
from tiercast_protocol.content.package.actiontypes import FOLDERS as WHOLE_TYPES
from tiercast_protocol.content.package.actiontypes import SETTINGS as SETTINGS_TYPES
from tiercast_protocol.content.package.actiontypes import Action

NEW = ".tiercast-new"
#: A file longer than this is not merged.
_MERGED = 4 << 20


@dataclass(slots=True)
class Draft:
    """What an action is to change, and what is owned before and after."""

    changes: list[Change] = field(default_factory=list)
    fills: dict[str, Fill] = field(default_factory=dict)
    was: list[Owned] = field(default_factory=list)
    now: list[Owned] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


class Drafter:
    """Makes the draft of one action, once its paths (`wants`) and who owns them are looked up."""

    def __init__(self, prefix: Prefix, where: Where, identity: str) -> None:
        self._prefix, self._where, self._identity = prefix, where, identity
        self._draft = Draft()
        self._number = 0

    # -- what is changed -------------------------------------------------------------------------------

    def do(
        self, action: Action, wants: Iterable[Want], mine: Iterable[Owned], owners: Mapping[str, list[Owned]]
    ) -> Draft:
        """The draft of doing it; `mine` is what the older version owns by it, `owners` who owns which path."""
        was = {one.path: one for one in mine}
        wanted = list(wants)
        for want in wanted:
            self._check_owners(action, want, owners)
            self._one(action, want, was.get(want.path), owners)
        done = {one.path for one in self._draft.now}
        on_the_way = {above for want in wanted for above in _above(want.path)}
        carried = [one for one in was.values() if one.kind == FOLDER and one.path in on_the_way - done]
        self._draft.now += carried
        done |= {one.path for one in carried}
        self._back([one for one in was.values() if one.path not in done], owners)
        self._draft.was = list({(one.path, one.package): one for one in (*was.values(), *self._draft.was)}.values())
        return self._draft

    def _check_owners(self, action: Action, want: Want, owners: Mapping[str, list[Owned]]) -> None:
        for other in owners.get(want.path, []):
            self._refuse(other, want, action)
        for above in _above(want.path):
            for other in owners.get(above, []):
                if other.kind == WHOLE and (other.package, other.identity) != (self._where.package, self._identity):
                    raise _taken(want.path, other)

    def _one(self, action: Action, want: Want, mine: Owned | None, owners: Mapping[str, list[Owned]]) -> None:
        if want.after.kind == FOLDER and (want.implied or action.type not in WHOLE_TYPES):
            self._folder(want, mine)
        elif action.type in WHOLE_TYPES:
            self._whole(action, want, mine, owners)
        elif action.type in SETTINGS_TYPES:
            self._settings(action, want, mine)
        else:
            self._file(action, want, mine)

    def take(self, mine: Iterable[Owned], owners: Mapping[str, list[Owned]]) -> Draft:
        """The draft of taking back all that the action placed."""
        was = list(mine)
        self._back(was, owners)
        self._draft.was = list({(one.path, one.package): one for one in (*was, *self._draft.was)}.values())
        return self._draft

    def _refuse(self, other: Owned, want: Want, action: Action) -> None:
        """Who else may own this path, too: folders are shared, and files of settings key by key."""
        if other.package == self._where.package and other.identity == self._identity:
            return
        if want.after.kind == FOLDER and other.kind == FOLDER and action.type not in WHOLE_TYPES:
            return
        if action.type in SETTINGS_TYPES and other.kind == SETTINGS:
            keys = {*action.settings("set"), *action.texts("unset")} & set(other.keys)
            if not keys:
                return
            raise ActError("path.taken", f"{min(keys)!r} in {want.path} is set by the package {other.package!r}")
        raise _taken(want.path, other)

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{'.tiercast-' if kind == 'staged' else ''}{self._where.token}-{self._number}"

    def _put(self, path: str, here: Image, after: Image, fill: Fill) -> Image:
        """Have `after` stand at `path`; returns what stands there as it will be kept."""
        before = replace(here, kept=self._next("kept")) if here.kind == FILE else here
        self._draft.changes.append(Change(path, before, after, self._next("staged")))
        self._draft.fills[path] = fill
        return before

    def _own(
        self, path: str, kind: str, origin: Image, after: Image, keys: Mapping[str, list[Any]] | None = None
    ) -> None:
        self._draft.now.append(Owned(path, self._where.package, self._identity, kind, origin, after, dict(keys or {})))

    def _folder(self, want: Want, mine: Owned | None) -> None:
        here = self._prefix.look(want.path)
        if here.kind == NONE:
            self._draft.changes.append(Change(want.path, here, want.after))
            self._own(want.path, FOLDER, mine.origin if mine else here, want.after)
            return
        if here.kind != FOLDER:
            raise ActError("path.foreign", f"{want.path} is no folder")
        if want.implied:
            if mine:
                self._draft.now.append(mine)
            return
        after = replace(want.after, inode=0)
        if (here.mode, here.uid, here.gid) != (after.mode, after.uid, after.gid):
            self._draft.changes.append(Change(want.path, here, after))
        self._own(want.path, FOLDER, mine.origin if mine else replace(here, inode=0), after)

    def _file(self, action: Action, want: Want, mine: Owned | None) -> None:
        path, rule = want.path, action.text("config") if action.type == "file" else "replace"
        here = self._prefix.look(path)
        if here.kind not in {NONE, FILE, LINK}:
            raise ActError("path.foreign", f"{path} is {'a folder' if here.kind == FOLDER else 'no file'}")
        after = want.after
        if here.kind == FILE and after.kind == FILE and isinstance(want.fill, Path):
            after = replace(after, digest=digest_of(want.fill.read_bytes()))
        if here.like(after) and (here.mode, here.uid, here.gid) == (after.mode, after.uid, after.gid):
            # It stands as it is to be; where nobody of us put it there, it stays when the package goes.
            self._own(path, after.kind, mine.origin if mine else self._as_it_is(path, here), after)
            return
        changed = here.kind != NONE and not here.like(mine.after if mine else Image()) and not here.like(after)
        if changed and rule == "merge" and mine is not None and self._merge(action, want, after, here, mine):
            return
        if changed and rule != "replace":
            beside = path + NEW
            there = self._prefix.look(beside)
            self._put(beside, there, after, want.fill)
            self._own(beside, BESIDE, Image(), after)
            self._draft.told.append(f"{path} was changed by hand and stays; the package's is {beside}")
            if mine:
                self._own(path, mine.kind, mine.origin, after)
            return
        if changed and mine is not None:
            self._aside(path, here)
        before = self._put(path, here, after, want.fill)
        self._own(path, after.kind, mine.origin if mine else before, after)

    def _as_it_is(self, path: str, here: Image) -> Image:
        if here.kind != FILE:
            return here
        # Kept by a change that changes nothing: the content has to be there when the package goes.
        return self._put(path, here, here, Here(path))

    def _merge(self, action: Action, want: Want, after: Image, here: Image, mine: Owned) -> bool:
        old = self._where.old_tree
        if old is None or not isinstance(want.fill, Path) or here.kind != FILE:
            return False
        base = old / action.text("source")
        if base.is_symlink() or not base.is_file() or max(base.stat().st_size, want.fill.stat().st_size) > _MERGED:
            return False
        text = merged(base.read_bytes(), want.fill.read_bytes(), self._prefix.read(want.path, _MERGED))
        if text is None:
            return False
        self._put(want.path, here, replace(here, digest=digest_of(text)), text)
        # What the package says stays what it is: whoever changed the file by hand still has.
        self._own(want.path, FILE, mine.origin, after)
        self._draft.told.append(f"{want.path} was changed by hand and has the package's changes, too")
        return True

    def _aside(self, path: str, here: Image) -> None:
        number, aside = 1, path + ASIDE
        while self._prefix.look(aside, content=False).kind != NONE:
            number += 1
            aside = f"{path}{ASIDE}.{number}"
        fill: Fill = Here(path) if here.kind == FILE else b""
        self._draft.changes.append(Change(aside, Image(), here, self._next("staged")))
        self._draft.fills[aside] = fill
        self._draft.told.append(f"{path} was changed by hand; it is kept as {aside}")

    def _whole(self, action: Action, want: Want, mine: Owned | None, owners: Mapping[str, list[Owned]]) -> None:
        here = self._prefix.look(want.path)
        if here.kind != NONE and (mine is None or mine.kind != WHOLE or here.kind != FOLDER):
            raise ActError("path.foreign", f"{want.path} is there already, and was not put there by this package")
        for path, others in owners.items():
            if path.startswith(want.path + "/"):
                raise _taken(path, others[0])
        self._draft.changes.append(Change(want.path, here, want.after, self._next("staged"), whole=True))
        self._draft.fills[want.path] = builder(action, self._where.tree, self._prefix)
        self._own(want.path, WHOLE, Image(), want.after)

    def _settings(self, action: Action, want: Want, mine: Owned | None) -> None:
        here = self._prefix.look(want.path)
        if here.kind not in {NONE, FILE}:
            raise ActError("path.foreign", f"{want.path} is no file")
        kind = action.type
        found = self._prefix.read(want.path, values.MOST) if here.kind == FILE else b""
        put = {key: values.form(kind, value) for key, value in action.settings("set").items()}
        drop = list(action.texts("unset"))
        known = mine.keys if mine else {}
        data, told = _keys_back(kind, found, {key: pair for key, pair in known.items() if key not in {*put, *drop}})
        old = values.read(kind, data, [*put, *drop])
        keys = {key: [known[key][0] if key in known else old.get(key), put.get(key)] for key in (*put, *drop)}
        text = values.edit(kind, data, put, drop)
        mode = here.mode if here.kind == FILE else int(action.text("mode"), 8)
        owner = (here.uid, here.gid) if here.kind == FILE else (want.after.uid, want.after.gid)
        after = Image(FILE, mode, *owner, digest=digest_of(text))
        unchanged = mine is not None and text == found and here.kind == FILE
        before = here if unchanged else self._put(want.path, here, after, text)
        origin = before
        if mine is not None:
            # Whose whole content is known to be ours on top of the origin's can go back to that byte by byte.
            origin = mine.origin if here.like(mine.after) else Image(FILE)
        self._own(want.path, SETTINGS, origin, after, keys)
        self._draft.told += [f"{want.path}: {one}" for one in told]

    # -- the way back ----------------------------------------------------------------------------------

    def _back(self, left: Iterable[Owned], owners: Mapping[str, list[Owned]]) -> None:
        going = list(left)
        gone = {one.path for one in going}
        for one in sorted(going, key=lambda one: one.path, reverse=True):
            here = self._prefix.look(one.path)
            if one.kind == FOLDER:
                self._folder_back(one, here, gone, owners)
            elif one.kind == WHOLE:
                if here.kind == FOLDER:
                    change = Change(one.path, here, Image(), self._next("staged"), whole=True)
                    self._draft.changes.append(change)
            elif one.kind == BESIDE:
                if here.like(one.after):
                    self._put(one.path, here, Image(), b"")
            elif one.kind == SETTINGS:
                self._settings_back(one, here)
            else:
                self._file_back(one, here)

    def _folder_back(self, one: Owned, here: Image, gone: set[str], owners: Mapping[str, list[Owned]]) -> None:
        if here.kind != FOLDER:
            return
        heirs = [other for other in owners.get(one.path, []) if other.package != one.package]
        below = [
            other
            for path, others in owners.items()
            if path.startswith(one.path + "/") and path not in gone
            for other in others
        ] + [other for other in self._draft.now if other.path.startswith(one.path + "/")]
        if heirs:
            self._draft.was.append(heirs[0])
            self._draft.now.append(replace(heirs[0], origin=one.origin))
        elif below:
            self._draft.now.append(replace(one, package=below[0].package, identity=below[0].identity))
        elif one.origin.kind == NONE:
            self._draft.changes.append(Change(one.path, here, Image()))
        elif (here.mode, here.uid, here.gid) != (one.origin.mode, one.origin.uid, one.origin.gid):
            self._draft.changes.append(Change(one.path, here, one.origin))

    def _file_back(self, one: Owned, here: Image) -> None:
        if here.kind not in {NONE, FILE, LINK}:
            self._draft.told.append(f"{one.path} is no file any more and stays")
            return
        if here.kind != NONE and not here.like(one.after):
            self._aside(one.path, here)
        if here.kind == NONE and one.origin.kind == NONE:
            return
        self._put(one.path, here, replace(one.origin, kept=""), Kept(one.origin.kept))

    def _settings_back(self, one: Owned, here: Image) -> None:
        if here.kind != FILE:
            return
        if here.like(one.after) and (one.origin.kept or one.origin.kind == NONE):
            self._put(one.path, here, replace(one.origin, kept=""), Kept(one.origin.kept))
            return
        kind = self._identity.partition(":")[2].partition(":")[0]
        data, told = _keys_back(kind, self._prefix.read(one.path, values.MOST), one.keys)
        self._draft.told += [f"{one.path}: {each}" for each in told]
        if one.origin.kind == NONE and data.strip() in {b"", b"{}"}:
            self._put(one.path, here, Image(), b"")
        else:
            self._put(one.path, here, replace(here, digest=digest_of(data)), data)


def _keys_back(kind: str, data: bytes, keys: Mapping[str, list[object]]) -> tuple[bytes, list[str]]:
    """The keys as they were, but for those that somebody has changed since."""
    present = values.read(kind, data, keys)
    ours = {key: pair for key, pair in keys.items() if present.get(key) == pair[1]}
    put = {key: pair[0] for key, pair in ours.items() if pair[0] is not None}
    told = [f"{key!r} was changed by hand and stays" for key in keys if key not in ours]
    return values.edit(kind, data, put, [key for key in ours if key not in put]), told


def _taken(path: str, other: Owned) -> ActError:
    return ActError("path.taken", f"{path} belongs to the package {other.package!r}; remove that one first")


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
