"""The types of a package's ordered actions: what each one may say, and its class of atomicity (docs/actions.md).

Rules
- One table is the law: the reader checks by it, the canonical text is written by it, and what an editor offers and the
  reference show is made of it.
- The inverse of an action is not written by anybody: it follows from its type and from what stood there before.
- Texts of types and keys stand in sealed packages and in journals: never rename one; a new key has a default.
- Class `placed`: files of the machine, staged beside their places and renamed.  Class `native`: what other programs do
  (an installer, a service manager); it is as atomic as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PLACED, NATIVE = "placed", "native"

#: A value of a settings file: what TOML and JSON share.
Scalar = str | int | float | bool
Setting = Scalar | tuple[Scalar, ...]
Value = str | int | bool | tuple[str, ...] | tuple[int, ...] | tuple[tuple[str, Setting], ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a type.

    Attributes:
        kind: how it is read: "path", "source", "sources", "mode", "user", "users", "word", "text", "choice", "flag",
            "argv", "exits", "seconds", "bytes", "settings", "keys" or "properties".
        default: where nothing is said; None for a key that must be there.
        choices: the words of a "choice".
    """

    kind: str
    default: Value | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a package: its type, and what it says, without defaults, in the order of its type's table."""

    type: str
    values: tuple[tuple[str, Value], ...] = ()

    @property
    def class_(self) -> str:
        """Its class of atomicity."""
        return TYPES[self.type].class_

    def get(self, key: str) -> Value:
        """What `key` says, or its default."""
        default = TYPES[self.type].keys[key].default
        found = dict(self.values).get(key, default)
        if found is None:
            raise KeyError(key)
        return found

    def text(self, key: str) -> str:
        """The text of `key`."""
        return str(self.get(key))

    def flag(self, key: str) -> bool:
        """The flag of `key`."""
        return bool(self.get(key))

    def number(self, key: str) -> int:
        """The whole number of `key`."""
        found = self.get(key)
        return found if isinstance(found, int) else 0

    def texts(self, key: str) -> tuple[str, ...]:
        """The texts of `key`."""
        found = self.get(key)
        return tuple(str(one) for one in found) if isinstance(found, tuple) else ()

    def settings(self, key: str) -> dict[str, Setting]:
        """The settings of `key`."""
        found = self.get(key)
        pairs = found if isinstance(found, tuple) else ()
        return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, tuple)}

    @property
    def identity(self) -> str:
        """What it is about: the older version's action of the same identity is replaced by it, not taken back.

        What is placed at a path is known by the path, whatever the type; settings in a file by their format, too.
        """
        about = "/".join(self.text(key) for key in TYPES[self.type].identity)
        if self.type in SETTINGS:
            return f"settings:{self.type}:{about}"
        return f"path:{about}" if self.class_ == PLACED else f"{self.type}:{about}"

    @property
    def shown(self) -> str:
        """As a receipt names it."""
        return f"{self.type} {'/'.join(self.text(key) for key in TYPES[self.type].identity)}"


@dataclass(frozen=True, slots=True)
class Type:
    """What actions of one type may say.

    Attributes:
        class_: of atomicity.
        identity: the keys that say what it is about.
        keys: all others, too.
    """

    class_: str
    identity: tuple[str, ...]
    keys: Mapping[str, Key]


_SECONDS, _BYTES = Key("seconds", 60), Key("bytes", 16 * 1024)
_OWNED = {"owner": Key("user", ""), "group": Key("user", "")}
_INSTALLER = {"timeout": Key("seconds", 600), "output_limit": _BYTES}


def _settings(*more: tuple[str, Key]) -> Type:
    keys = {"path": Key("path"), "set": Key("settings", ()), "unset": Key("keys", ()), "mode": Key("mode", "0644")}
    return Type(PLACED, ("path",), MappingProxyType({**keys, **dict(more)}))


def _type(class_: str, identity: str, **keys: Key) -> Type:
    return Type(class_, (identity,), MappingProxyType(keys))


TYPES: Mapping[str, Type] = MappingProxyType(
    {
        "file": _type(
            PLACED,
            "path",
            path=Key("path"),
            source=Key("source"),
            mode=Key("mode", ""),
            **_OWNED,
            config=Key("choice", "replace", ("replace", "keep", "merge")),
        ),
        "files": _type(PLACED, "path", path=Key("path"), source=Key("source"), **_OWNED),
        "directory": _type(PLACED, "path", path=Key("path"), mode=Key("mode", "0755"), **_OWNED),
        "link": _type(PLACED, "path", path=Key("path"), target=Key("text", ""), source=Key("source", "")),
        "ini": _settings(),
        "env": _settings(),
        "json": _settings(),
        "toml": _settings(),
        "site": _type(PLACED, "path", path=Key("path"), source=Key("source")),
        "archive": _type(
            PLACED, "path", path=Key("path"), source=Key("source"), strip=Key("choice", "0", ("0", "1", "2"))
        ),
        "wheel": _type(PLACED, "path", path=Key("path"), sources=Key("sources"), python=Key("path", "")),
        "program": _type(
            NATIVE,
            "name",
            name=Key("word"),
            argv=Key("argv"),
            undo=Key("argv", ()),
            exits=Key("exits", (0,)),
            timeout=_SECONDS,
            idempotent=Key("flag", default=False),
            output_limit=_BYTES,
        ),
        "group": _type(NATIVE, "name", name=Key("user"), system=Key("flag", default=True)),
        "user": _type(
            NATIVE,
            "name",
            name=Key("user"),
            system=Key("flag", default=True),
            group=Key("user", ""),
            groups=Key("users", ()),
            home=Key("path", "/nonexistent"),
            shell=Key("path", "/usr/sbin/nologin"),
            comment=Key("text", ""),
        ),
        "unit": _type(
            NATIVE,
            "name",
            name=Key("word"),
            source=Key("source", ""),
            enabled=Key("flag", default=True),
            started=Key("flag", default=True),
            timeout=_SECONDS,
            output_limit=_BYTES,
        ),
        "deb": _type(NATIVE, "name", name=Key("word"), source=Key("source"), **_INSTALLER),
        "rpm": _type(NATIVE, "name", name=Key("word"), source=Key("source"), **_INSTALLER),
        "msi": _type(
            NATIVE, "name", name=Key("word"), source=Key("source"), properties=Key("properties", ()), **_INSTALLER
        ),
        "handler": Type(
            NATIVE,
            ("handler", "name"),
            MappingProxyType(
                {
                    "handler": Key("package"),
                    "name": Key("word"),
                    "source": Key("source", ""),
                    "properties": Key("properties", ()),
                }
            ),
        ),
    }
)

#: Types whose action is the only one of the package about its path.
PATHS = frozenset(name for name, one in TYPES.items() if one.identity == ("path",))
#: Those that put a whole folder at their path.
FOLDERS = frozenset({"site", "archive", "wheel"})
#: Those that edit a file of settings.
SETTINGS = frozenset({"ini", "env", "json", "toml"})
