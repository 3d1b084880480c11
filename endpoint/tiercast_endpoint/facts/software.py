"""What is installed on this machine: packages of dpkg and rpm, and Python distributions of the system's interpreters.

Rules
- Only files are read (and `rpm` asked, which keeps a database): nothing of what is found is imported or run.
- A piece of which nothing can be read is left out; a source that fails as a whole keeps the others from nothing, and
  what it said last stands.
- A source is read again only when its files changed, so a look a minute costs a few `stat`.
- A package of another architecture than the first of its name is called NAME:ARCH; of several installed versions the
  highest counts.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from tiercast_protocol.content.facts.software import bounded
from tiercast_protocol.content.facts.versions import compare

log = structlog.get_logger(__name__)

#: Where the interpreters of a system keep their distributions.
_PYTHON = (
    "usr/lib/python3/dist-packages",
    "usr/lib/python3*/site-packages",
    "usr/lib64/python3*/site-packages",
    "usr/local/lib/python3*/dist-packages",
    "usr/local/lib/python3*/site-packages",
)
_DISTRIBUTION = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info\Z")
_RPM_FILES = ("var/lib/rpm", "usr/lib/sysimage/rpm")
#: Longest that rpm is waited for, in seconds.
_RPM_S = 60.0

Pairs = Iterable[tuple[str, str]]
Stamp = tuple[tuple[str, int, int], ...]


class Software:
    """What is installed below `root`; blocking, for a thread.

    Args:
        root: of the system.
        sources: those that are asked.
    """

    def __init__(self, root: Path = Path("/"), sources: Iterable[str] = ("dpkg", "rpm", "pip")) -> None:
        self._root = root
        known: dict[str, tuple[Callable[[], list[Path]], Callable[[], Pairs]]] = {
            "dpkg": (self._dpkg_files, self._dpkg),
            "rpm": (self._rpm_files, self._rpm),
            "pip": (self._python_folders, self._python),
        }
        self._sources = {name: known[name] for name in sources}
        self._held: dict[str, tuple[Stamp, dict[str, str]]] = {}

    def __call__(self) -> Mapping[str, str]:
        """Name and version of everything."""
        found: dict[str, str] = {}
        for name, (files, read) in self._sources.items():
            stamp = _stamp(files())
            held = self._held.get(name)
            if held is None or held[0] != stamp:
                try:
                    held = (stamp, _highest(read()) if stamp else {})
                except (OSError, ValueError, subprocess.SubprocessError) as error:
                    log.warning("software not read", source=name, reason=str(error))
                    held = (stamp, held[1] if held is not None else {})
                self._held[name] = held
            for key, version in held[1].items():
                found.setdefault(key, version)
        return bounded(found)

    def _dpkg_files(self) -> list[Path]:
        return [self._root / "var/lib/dpkg/status"]

    def _dpkg(self) -> Iterator[tuple[str, str]]:
        named: dict[str, str] = {}
        with self._dpkg_files()[0].open(encoding="utf-8", errors="replace") as lines:
            for fields in _paragraphs(lines):
                name, version = fields.get("Package", ""), fields.get("Version", "")
                if not name or not version or not fields.get("Status", "").endswith(" installed"):
                    continue
                arch = fields.get("Architecture", "")
                yield (name if named.setdefault(name, arch) == arch else f"{name}:{arch}"), version

    def _rpm_files(self) -> list[Path]:
        if not (self._root / "usr/bin/rpm").exists():
            return []
        return sorted(path for folder in _RPM_FILES for path in (self._root / folder).glob("*") if path.is_file())

    def _rpm(self) -> Iterator[tuple[str, str]]:
        form = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n"
        argv = [str(self._root / "usr/bin/rpm"), "--root", str(self._root), "-qa", "--qf", form]
        asked = subprocess.run(argv, capture_output=True, timeout=_RPM_S, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - rpm itself
        for line in asked.stdout.decode("utf-8", "replace").splitlines():
            name, _, version = line.partition("\t")
            if name and name != "gpg-pubkey":
                yield name, version

    def _python_folders(self) -> list[Path]:
        return sorted({folder for pattern in _PYTHON for folder in self._root.glob(pattern)})

    def _python(self) -> Iterator[tuple[str, str]]:
        for folder in self._python_folders():
            for entry in folder.iterdir():
                match = _DISTRIBUTION.match(entry.name)
                if match is not None:
                    yield "pip:" + re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"]


def _paragraphs(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """The fields of one line each; what a field goes on with is of no interest."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith((" ", "\t")):
            continue
        key, colon, value = line.partition(":")
        if colon:
            fields[key] = value.strip()
        elif fields:
            yield fields
            fields = {}
    if fields:
        yield fields


def _highest(pairs: Pairs) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, version in pairs:
        held = found.get(name)
        if held is None or compare(version, held) > 0:
            found[name] = version
    return found


def _stamp(paths: Iterable[Path]) -> Stamp:
    found: list[tuple[str, int, int]] = []
    for path in paths:
        with suppress(OSError):
            seen = path.stat()
            found.append((str(path), seen.st_mtime_ns, seen.st_size))
    return tuple(found)
