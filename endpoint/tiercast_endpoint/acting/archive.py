"""Unpacking an archive into an empty folder, whatever is in it.

Rules
- Files first, links last: while files are written there is no link that a path could lead through; and no link is made
  below another one, where its target would be reckoned from elsewhere.
- Refused: paths and links that lead out, devices and pipes, set-user-id and set-group-id bits, sparse files, two
  entries of one name, more than half a million entries, and more bytes than an honest archive of its size can hold.
- Sizes are counted as bytes are written, not as the archive says; what is left out costs what it says, and headers that
  are read as a whole may have a megabyte.
- Owners and times of the archive are nobody's business here; modes are kept.
"""

from __future__ import annotations

import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tiercast_endpoint.acting.prefix import ActError
from tiercast_protocol.content.sealed.paths import check_path, check_target
from tiercast_protocol.errors import MessageInvalid

MOST_ENTRIES = 500_000
#: An honest archive of text shrinks to a hundredth; what promises more than this is a bomb.
RATIO, FREE = 200, 64 << 20
_MOST_DIRECTORY = 64 << 20
_READ = 1 << 20
_MOST_HEADER = 1 << 20
_UNSOUND = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
)
_TELLING = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")


class _Header(tarfile.TarInfo):
    """A header; one that tells of the next entry is read as a whole, so it may not be large."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _TELLING and self.size > _MOST_HEADER:
            raise ActError("archive.bomb", f"a header of {self.size:,} bytes")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


class _Budget:
    """What may still come out of one archive."""

    def __init__(self, archive: Path) -> None:
        self._name = archive.name
        self._bytes = archive.stat().st_size * RATIO + FREE
        self._entries = MOST_ENTRIES
        self._seen: set[str] = set()

    def left_out(self, size: int) -> None:
        self._one()
        self.bytes(size)

    def _one(self) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise ActError("archive.many", f"{self._name} has more than {MOST_ENTRIES:,} entries")

    def entry(self, path: str) -> None:
        self._one()
        if path in self._seen:
            raise ActError("archive.twice", f"{self._name} has {path!r} twice")
        self._seen.add(path)

    def bytes(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            raise ActError("archive.bomb", f"{self._name} unpacks to more than {RATIO} times its size")


def unpack(archive: Path, to: Path, *, strip: int = 0) -> None:
    """Unpack a .tar (plain, gz, bz2 or xz) or a .zip; `strip` leading parts of every path are left out.

    Raises:
        ActError: archive.*.
        OSError: the disk gave out.
    """
    budget = _Budget(archive)
    try:
        if zipfile.is_zipfile(archive):
            check_zip(archive)
            _unzip(archive, to, strip, budget)
        else:
            _untar(archive, to, strip, budget)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        path = os.path.relpath(error.filename or to, to)
        raise ActError("archive.twice", f"{archive.name}: {path!r} is a file and has something below it") from error
    except _UNSOUND as error:
        raise ActError("archive.invalid", f"{archive.name} is no sound archive: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # A decompressor's word for data that it can't make sense of.
        raise ActError("archive.invalid", f"{archive.name} is no sound archive: {error}") from error


def check_zip(archive: Path) -> None:
    """Refuse a .zip whose list of entries alone would fill the memory, or that holds what may not be unpacked.

    Raises:
        ActError: archive.*.
    """
    with archive.open("rb") as opened:
        opened.seek(-min(archive.stat().st_size, 1 << 17), os.SEEK_END)
        tail = opened.read()
    listed = 0
    if (at := tail.rfind(b"PK\x05\x06")) >= 0 and len(tail) - at >= _END.size:
        listed = _END.unpack_from(tail, at)[5]
    if (at := tail.rfind(b"PK\x06\x06")) >= 0 and len(tail) - at >= _END64.size:
        listed = max(listed if listed != 0xFFFFFFFF else 0, _END64.unpack_from(tail, at)[8])  # noqa: PLR2004 - "see above"
    if listed > _MOST_DIRECTORY:
        raise ActError("archive.many", f"the list of entries of {archive.name} has {listed:,} bytes")
    budget = _Budget(archive)
    with zipfile.ZipFile(archive) as opened_zip:
        for one in opened_zip.infolist():
            path = _path(archive.name, one.filename, 0)
            if path:
                budget.entry(path)
            budget.bytes(one.file_size)


def _untar(archive: Path, to: Path, strip: int, budget: _Budget) -> None:
    links: list[tuple[str, str]] = []
    with tarfile.open(archive, "r:*", tarinfo=_Header) as opened:
        for one in opened:
            path = _path(archive.name, one.name, strip)
            if not path:
                budget.left_out(one.size)
                continue
            budget.entry(path)
            if one.issparse():
                raise ActError("archive.sparse", f"{archive.name}: {path!r} is a sparse file")
            _check_mode(archive.name, path, one.mode)
            if one.isdir():
                _folder(to, path, one.mode)
            elif one.issym():
                links.append((path, one.linkname))
            elif one.islnk():
                target = _path(archive.name, one.linkname, strip)
                _link_file(archive.name, to, target, path)
            elif one.isreg():
                source = opened.extractfile(one)
                if source is not None:
                    _write(to, path, source, one.mode, budget)
            else:
                raise ActError("archive.device", f"{archive.name}: {path!r} is a device or a pipe")
    _links(archive.name, to, links)


def _unzip(archive: Path, to: Path, strip: int, budget: _Budget) -> None:
    links: list[tuple[str, str]] = []
    with zipfile.ZipFile(archive) as opened:
        for one in opened.infolist():
            path = _path(archive.name, one.filename, strip)
            if not path:
                budget.left_out(0)
                continue
            budget.entry(path)
            mode = one.external_attr >> 16
            kind = stat.S_IFMT(mode)
            _check_mode(archive.name, path, mode)
            if one.is_dir():
                _folder(to, path, mode or 0o755)
            elif one.flag_bits & 1:
                raise ActError("archive.invalid", f"{archive.name}: {path!r} is encrypted")
            elif kind == stat.S_IFLNK:
                links.append((path, opened.open(one).read(4097).decode("utf-8", "replace")))
            elif kind in {0, stat.S_IFREG}:
                with opened.open(one) as source:
                    _write(to, path, source, mode or 0o644, budget)
            else:
                raise ActError("archive.device", f"{archive.name}: {path!r} is a device or a pipe")
    _links(archive.name, to, links)


def _path(archive: str, name: str, strip: int) -> str:
    """The path of an entry inside the folder; "" for what is left out."""
    text = name.rstrip("/")
    while text.startswith("./"):
        text = text[2:].lstrip("/")
    if text in {"", "."}:
        return ""
    try:
        check_path(text)
    except MessageInvalid as error:
        raise ActError("archive.path", f"{archive}: {error.reason}") from error
    return "/".join(text.split("/")[strip:])


def _check_mode(archive: str, path: str, mode: int) -> None:
    if mode & (stat.S_ISUID | stat.S_ISGID):
        raise ActError("archive.setuid", f"{archive}: {path!r} has a set-user-id or set-group-id bit")


def _parents(to: Path, path: str) -> None:
    (to / path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)


def _folder(to: Path, path: str, mode: int) -> None:
    _parents(to, path)
    (to / path).mkdir(exist_ok=True)
    (to / path).chmod(mode & 0o777 | 0o700)


def _write(to: Path, path: str, source: IO[bytes], mode: int, budget: _Budget) -> None:
    _parents(to, path)
    fd = os.open(to / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as opened:
        for data in _pieces(source):
            budget.bytes(len(data))
            opened.write(data)
        os.fchmod(opened.fileno(), mode & 0o777)


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    while data := source.read(_READ):
        yield data


def _link_file(archive: str, to: Path, target: str, path: str) -> None:
    """A second name for a file of the archive that came before."""
    there = to / target
    if not target or there.is_symlink() or not there.is_file():
        raise ActError(
            "archive.link", f"{archive}: {path!r} is a second name of {target!r}, which no file before it has"
        )
    _parents(to, path)
    os.link(there, to / path, follow_symlinks=False)


def _links(archive: str, to: Path, links: list[tuple[str, str]]) -> None:
    made: set[str] = set()
    for path, target in links:
        above = path
        while above := above.rpartition("/")[0]:
            if above in made:
                raise ActError("archive.link", f"{archive}: {path!r} lies below the link {above!r}")
        made.add(path)
        try:
            check_target(path, target)
        except MessageInvalid as error:
            raise ActError("archive.link", f"{archive}: {error.reason}") from error
        _parents(to, path)
        (to / path).symlink_to(target)
