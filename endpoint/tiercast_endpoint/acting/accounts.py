"""Groups and users of the machine (docs/actions.md, "Users and groups").

Rules
- What was there before the package and is what the definition says is adopted: nothing of it is changed, and it stays
  when the package goes.
- What was there before and is not what the definition says (`user.differs`) is left as it is, and the action fails: a
  package that changed somebody else's user could not give it back.  What the definition does not say is not looked at.
- What the package made itself follows the definition of its newer versions, and goes with it.
- The account files of the prefix say what is there; they are changed by the machine's own programs alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from tiercast_endpoint.acting.native import Native, State
from tiercast_endpoint.acting.prefix import ActError

#: A line of passwd: name, password, uid, gid, comment, home, shell.
_PASSWD, _GROUP = 7, 4
GONE = "taken away"


class _Account(Native):
    file, add, delete = "", "", ""
    shared = "there"

    def _rows(self, file: str, parts: int) -> Iterator[list[str]]:
        try:
            lines = self._site.prefix.at(file).read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            if len(row := line.split(":")) == parts:
                yield row

    def _there(self) -> bool:
        parts = _PASSWD if self.file == "etc/passwd" else _GROUP
        return any(row[0] == self._name for row in self._rows(self.file, parts))

    def _where(self) -> list[str]:
        return [] if self._site.prefix.whole else ["--prefix", str(self._site.prefix.path)]

    async def look(self) -> State:
        """See above."""
        return {"there": self._there()}

    async def do(self, state: State) -> str:
        """See above."""
        if not self._there():
            await self._site.run([self.add, *self._where(), *self._options(), self._name])
            if not self._there():
                raise ActError("user.missing", f"{self.add} ended well, and there is no {self._name!r}")
            return "made"
        differing = self._differing(own=not state.get("there"))
        if state.get("there"):
            if differing:
                said = ", ".join(f"its {what} is {is_!r}, not {said!r}" for what, (is_, said) in differing.items())
                detail = f"the machine has a user {self._name!r} of its own, and {said}; it was left as it is"
                raise ActError("user.differs", detail)
            return "was there, as it is to be; left as it is"
        if differing:
            await self._mend(differing)
            return f"changed: {', '.join(differing)}"
        return "stands"

    async def remove(self, state: State) -> str:
        """See above."""
        if state.get("there") or not self._there():
            return "left, as it was there before"
        await self._site.run([self.delete, *self._where(), self._name])
        return GONE

    async def verify(self, state: State) -> list[tuple[str, str]]:
        """See above."""
        if not self._there():
            return [(self._action.shown, "is gone")]
        differing = self._differing(own=not state.get("there"))
        return [(self._action.shown, f"its {what} is {is_!r}, not {said!r}") for what, (is_, said) in differing.items()]

    def _options(self) -> list[str]:
        return ["--system"] if self._action.flag("system") else []

    def _differing(self, *, own: bool) -> Mapping[str, tuple[str, str]]:  # noqa: ARG002 - a group has only its name
        """What of it is not as the definition says: what it is, what is said.  Defaults count for our `own` alone."""
        return {}

    async def _mend(self, differing: Mapping[str, tuple[str, str]]) -> None:
        """Have it as the definition says."""


class Group(_Account):
    """A group of users."""

    file, add, delete = "etc/group", "groupadd", "groupdel"


class User(_Account):
    """A user; its home is not made: a `directory` does that."""

    file, add, delete = "etc/passwd", "useradd", "userdel"

    async def remove(self, state: State) -> str:
        """As above; a group that was made with it goes too, which not every userdel does."""
        told = await super().remove(state)
        if told == GONE and not self._action.text("group") and self._alone():
            await self._site.run(["groupdel", *self._where(), self._name])
        return told

    def _alone(self) -> bool:
        """Whether there is a group of its name that nobody is in."""
        used = {row[3] for row in self._rows(self.file, _PASSWD)}
        rows = self._rows("etc/group", _GROUP)
        return any(row[0] == self._name and not row[3] and row[2] not in used for row in rows)

    def _options(self) -> list[str]:
        action = self._action
        group, groups, comment = action.text("group"), action.texts("groups"), action.text("comment")
        return [
            *super()._options(),
            "--no-create-home",
            *(["--gid", group, "--no-user-group"] if group else ["--user-group"]),
            *(["--groups", ",".join(groups)] if groups else []),
            *(["--comment", comment] if comment else []),
            *("--home-dir", action.text("home"), "--shell", action.text("shell")),
        ]

    def _differing(self, *, own: bool) -> Mapping[str, tuple[str, str]]:
        action, (*_, gid, comment, home, shell) = self._action, self._row()
        groups = {row[2]: row[0] for row in self._rows("etc/group", _GROUP)}
        found = {"home": home, "shell": shell, "comment": comment, "group": groups.get(gid, gid)}
        said = {key: action.text(key) for key in found if own or key in dict(action.values)}
        if said.get("group") == "":
            said["group"] = self._name
        differing = {key: (found[key], wanted) for key, wanted in said.items() if wanted != found[key]}
        wanted = {*action.texts("groups")} - {said.get("group", found["group"])}
        held = {row[0] for row in self._rows("etc/group", _GROUP) if self._name in row[3].split(",")}
        if wanted - held or (own and held - wanted):
            differing["groups"] = (",".join(sorted(held)), ",".join(sorted(wanted)))
        return differing

    async def _mend(self, differing: Mapping[str, tuple[str, str]]) -> None:
        options = {"home": "--home", "shell": "--shell", "comment": "--comment", "group": "--gid", "groups": "--groups"}
        words: Sequence[str] = [word for key, (_, said) in differing.items() for word in (options[key], said)]
        await self._site.run(["usermod", *self._where(), *words, self._name])

    def _row(self) -> list[str]:
        return next(row for row in self._rows(self.file, _PASSWD) if row[0] == self._name)
