"""What the exit code of `tiercast` says (docs/operations.md, "Exit codes").

Rules
- A code never changes its meaning; scripts stand on it.
- 2 is for what was said: it can't be read, is out of bounds, does not go together, names what there is not or what is
  of another kind, or leaves out what must be said.  Said otherwise, it may do.  It is also what the command line's own
  parser gives for a wrong option.
- 1 is for what stands against it: it was understood, and something is open, over, taken, full, missing or forbidden
  now, or broke.  Said again later, the same may do.
- An error code is "noun.word".  Its exit code is that of the code itself where it stands here, else of its noun, else
  of its word; a test looks for one among them for every code that is raised anywhere.  What a later daemon says, and
  is not here, is 1.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """All exit codes."""

    OK = 0
    FAILED = 1  # what stands is against it, or something broke; the message says what
    USAGE = 2  # what was said: a wrong option, an unknown name, a file with mistakes
    UNREACHABLE = 3  # nobody answers: no daemon at the socket, no host over ssh
    JOB_FAILED = 4  # the job that was waited for ended, but not well on every target
    INTERRUPTED = 130  # Ctrl-C; what the server was asked to do goes on


def _all(code: ExitCode, words: str) -> dict[str, ExitCode]:
    return dict.fromkeys(words.split(), code)


#: By noun: whatever is wrong with one of these was said so.
_NOUNS = _all(
    ExitCode.USAGE,
    "check condition confirm desired fact file filter message option options program provisos run source target"
    " template time times transfer tree type variable verb wave window",
)
#: By noun: whatever these say, nothing that was typed is the matter.
_NOUNS |= _all(ExitCode.FAILED, "chunk control daemon dependency enrol media order packager send store test")

#: By word: it can't be meant as it was said,
_WORDS = _all(
    ExitCode.USAGE,
    "ambiguous child cyclic duplicate dynamic empty exits folder format go-on invalid kind library long mac many"
    " missing mode needless never output plain remote reserved rights role same server share shared single soak static"
    " step stop-at stop-at-site targets tree type undo unknown unknown-step user which word",
)
#: or it can't be done as things stand.
_WORDS |= _all(
    ExitCode.FAILED,
    "assigned certificate certificate-wanted closed conflict denied draft ended exists expired failed few gone"
    " held-above in-use incomplete joined last late limited listen login may-not mosquitto needed nobody none not-held"
    " not-installed not-joined nothing open plan refused retry rollout settled silent small socket spent start tls"
    " uncommitted undone unproved unreachable untested",
)

#: These themselves.
_CODES = {
    **_all(ExitCode.UNREACHABLE, "daemon.unreachable host.unreachable host.command"),
    # a file that changed while it was packed; the tree of gateways as it is today; a right that somebody gives
    **_all(ExitCode.FAILED, "tree.changed tree.cyclic role.missing patch.too_large power.address"),
    # of another kind, or too much
    **_all(ExitCode.USAGE, "owner.offer owner.window set.alone set.rollout package.too_large test.job"),
    **_all(ExitCode.USAGE, "broker.address token.name root.fingerprint"),
}


def known(error_code: str) -> bool:
    """Whether a rule here says what exit code it has."""
    noun, _, word = error_code.partition(".")
    return error_code in _CODES or noun in _NOUNS or word in _WORDS


def exit_code_of(error_code: str) -> ExitCode:
    """The exit code for the stable code of a UsageError ("package.unknown" -> USAGE)."""
    noun, _, word = error_code.partition(".")
    found = _CODES.get(error_code) or _NOUNS.get(noun) or _WORDS.get(word)
    return found or ExitCode.FAILED
