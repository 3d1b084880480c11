"""Pages of the documentation, typed as they stand: every command of a page, one after the other, in a real region.

Rules
- Every line in a code block that begins with a command of ours is typed, in the order of the page; only what `Typed`
  says of a line is other than "it ends with 0 and prints something".  What is said of a line that the page does not
  have fails the test.
- Files come from the page: a code block whose first line is a comment with a file's name is that file.
- Of a line only what must be this region's is exchanged: ids that a region gives, sockets, days that are over by now,
  and programs of the machine, which are stand-ins.  One that has none fails the test: nothing of this machine runs.
- All that went wrong on a page is told at once.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cluster import ROOT, until
from commands import CENTRE, OWNER, Commands
from region import Region

_MODULES = {"tiercast": "tiercast_cli", "tiercast-endpoint": "tiercast_endpoint"}
_COMMANDS = {"tiercast": Commands(sys.executable, CENTRE), "tiercast-endpoint": Commands(sys.executable, OWNER)}
_OURS = re.compile(r"(TIERCAST_\w+=\S+ )*tiercast(-endpoint)? ")
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
_DAY = re.compile(r"\b(20\d\d-\d\d-\d\d)\b")
#: An id that a region gives; a line that orders something prints one.
_ID = re.compile(r"\b([jpr]\d*-?[0-9a-z]+-[0-9a-f]{4,})\b")
#: A busy machine takes its time.
_BOUND_S = 90.0


@dataclass(frozen=True, slots=True)
class Typed:
    """What there is to be said of one line of a page.

    Attributes:
        before: what has to be done, or awaited, before it is typed.
        owner: the machine at whose terminal it is typed, where that is not the page's usual one.
        gives: what the page calls the id that this line printed.
        shows: patterns that what it prints must have, on standard output or of errors.
        exit: how it ends.
        again: what it is to print comes with the next word of a machine: it is typed until then.
        endless: it runs until somebody stops it: it is stopped once it printed the first pattern of `shows`.
    """

    before: Callable[[Typist], object] | None = None
    owner: str = ""
    gives: str = ""
    shows: tuple[str, ...] = ()
    exit: int = 0
    again: bool = False
    endless: bool = False


PLAIN = Typed()


@dataclass(frozen=True, slots=True)
class Page:
    """The code of one page."""

    name: str
    blocks: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str) -> Page:
        """Read it."""
        text = (ROOT / "docs" / name).read_text("utf-8")
        return cls(name, tuple(re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)))

    def lines(self) -> list[str]:
        """Every line that is typed, without its comment and what it goes on with on the next line."""
        found = [line for _, text in self.blocks for line in text.splitlines()]
        return [_bare(line) for line in found if _OURS.match(line)]

    def files(self) -> dict[str, str]:
        """Every file that the page shows, by its name."""
        heads = [(_FILE.match(text), text) for _, text in self.blocks]
        return {head[1]: text for head, text in heads if head is not None}


def _missing(said: Typed, text: str) -> list[str]:
    return [pattern for pattern in said.shows if not re.search(pattern, text, re.MULTILINE)]


def _bare(line: str) -> str:
    """The line without the comment behind it; quotes stay as they are."""
    quote = ""
    for at, letter in enumerate(line):
        if letter in "'\"" and quote in {"", letter}:
            quote = "" if quote else letter
        if letter == "#" and not quote and line[at - 1] == " ":
            return line[:at].rstrip()
    return line.rstrip()


@dataclass(slots=True)
class Typist:
    """Whoever types a page.

    Attributes:
        folder: where it is typed, and the page's files lie.
        words: texts of the page, and what stands for them in this region.
        owner: at whose terminal `tiercast-endpoint` is typed.
        last: the id that was printed last.
        given: the id that each line printed.
    """

    region: Region
    folder: Path
    words: dict[str, str] = field(default_factory=dict)
    owner: str = "pc-17"
    last: str = ""
    given: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def page(self, page: Page, said: Mapping[str, Typed]) -> None:
        """Type all of it."""
        lines = page.lines()
        for name, text in page.files().items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.meant(text), "utf-8")
            file.chmod(0o755)
        self.wrong += [f"{line}: {page.name} does not say that" for line in said if line not in lines]
        for line in lines:
            began = time.monotonic()
            self._typed(line, said.get(line, PLAIN))
            sys.stdout.write(f"{time.monotonic() - began:5.1f} s: {line}\n")

    def check(self) -> None:
        """See that all pages so far could be typed as they stand.

        Raises:
            AssertionError: what went wrong, all of it.
        """
        assert not self.wrong, f"{len(self.wrong)} commands\n" + "\n".join(self.wrong)

    def meant(self, text: str) -> str:
        """A text of the page with what stands for it here."""
        for word, real in self.words.items():
            text = re.sub(rf"(?<![\w/-]){re.escape(word)}(?![\w-])", lambda _, real=real: real, text)
        days = sorted(set(_DAY.findall(text)))
        for day in days:
            moved = datetime.fromisoformat(day) - datetime.fromisoformat(days[0])
            text = text.replace(day, f"{datetime.now().astimezone() + timedelta(days=2) + moved:%Y-%m-%d}")
        return text

    def call(self, word: str, line: str) -> None:
        """From here on the page calls `word` what an earlier line, of which this is the beginning, printed."""
        (self.words[word],) = {found for typed, found in self.given.items() if typed.startswith(line)}

    def done(self, *, job: str = "", states: tuple[str, ...] = ("done",)) -> str:
        """Wait until a job, the last one where none is named, stands so; its id."""
        job = job or self.last
        until(lambda: self.region.cli("job", "show", job)["job"]["state"] in states, f"{job} is {states}", _BOUND_S)
        return job

    def _typed(self, line: str, said: Typed) -> None:
        try:
            if said.before is not None:
                said.before(self)
            code, text = self._endless(line, said) if said.endless else self._run(line, said)
            deadline = time.monotonic() + _BOUND_S
            while said.again and _missing(said, text) and time.monotonic() < deadline:
                code, text = self._run(line, said)
        except Exception as error:  # noqa: BLE001 - the next line is typed all the same, and all is told at the end
            self.wrong.append(f"$ {line}\n  {type(error).__name__}: {error}")
            return
        missing = _missing(said, text)
        if code != said.exit or missing or not text.strip() or "Traceback" in text:
            wanted = f" {missing}" if missing else ""
            self.wrong.append(f"$ {line}\n  {self.meant(line)}\n  ended with {code}, not {said.exit}{wanted}:\n{text}")
        if found := _ID.search(text):
            self.last = self.given[line] = found[1]
            if said.gives:
                self.words[said.gives] = self.last
        elif said.gives:
            self.wrong.append(f"$ {line}\n  printed no id for {said.gives}:\n{text}")

    def _run(self, line: str, said: Typed) -> tuple[int, str]:
        text, code, errors = "", 0, ""
        for part in self.meant(line).split(" | "):
            words, environment = self._words(part, said), self._environment()
            while words[0] not in _COMMANDS:
                name, _, environment[name] = words.pop(0).partition("=")
            done = _COMMANDS[words[0]].run(words[1:], environment, stdin=text, folder=self.folder, within=_BOUND_S)
            text, code, errors = done.stdout, done.returncode, errors + done.stderr
        return code, text + errors

    def _endless(self, line: str, said: Typed) -> tuple[int, str]:
        """Read until it printed what it is to, then stop it as Ctrl-C does."""
        words = self._words(self.meant(line), said)
        command = [sys.executable, "-m", _MODULES[words[0]], *words[1:]]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment(),
            cwd=self.folder,
        )
        text = ""
        with process:
            assert process.stdout is not None
            while part := process.stdout.readline():
                text += part
                if re.search(said.shows[0], text, re.MULTILINE):
                    process.send_signal(signal.SIGINT)
                    break
            text += process.stdout.read()
        return process.returncode, text

    def _words(self, line: str, said: Typed) -> list[str]:
        """What is typed, with the socket of the daemon at which it is."""
        words = shlex.split(line)
        strange = [word for word in words[1:] if word.startswith("/") and not word.startswith(str(self.region.folder))]
        strange = [word for word in strange if word not in self.words.values()]
        assert not strange, f"{strange} would be this machine's own: say what stands for it"
        if words[0] == "tiercast-endpoint":
            return [*words, "--state", str(self.region.daemons[said.owner or self.owner].folder)]
        if words[1] in {"--socket", "--host"} or words[0] != "tiercast":
            return words
        return [words[0], "--socket", str(self.region.daemons["server"].socket), *words[1:]]

    def _environment(self) -> dict[str, str]:
        return {**self.region.environment(), "COLUMNS": "150"}


@contextmanager
def stand_ins(*programs: str) -> Iterator[dict[str, str]]:
    """Programs that stand for programs of the machine, and that every user may run: they say what they were told."""
    folder = Path(tempfile.mkdtemp(prefix="tcp", dir="/tmp"))
    try:
        folder.chmod(0o755)
        for program in programs:
            file = folder / Path(program).name
            file.write_text('#!/bin/sh\necho "$0 $*"\n', "utf-8")
            file.chmod(0o755)
        yield {program: str(folder / Path(program).name) for program in programs}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def noon() -> str:
    """A time zone in which it is about noon now: so every time of day on a page comes in the order of the page."""
    return f"NOON{time.gmtime().tm_hour - 12:+d}"
