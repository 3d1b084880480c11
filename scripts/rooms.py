"""One test file per source file, and no source file without its rules at the top.

Rules
- `protocol/tiercast_protocol/node/outbox.py` is tested by `tests/protocol/node/test_outbox.py`,
  `protocol/tiercast_mqtt/x.py` by `tests/mqtt/test_x.py`; the other tiers likewise.
- Left out: `__init__.py` without code, `__main__.py` (wiring: the cluster tests run it as a process), migrations.
- A section of docs/protocol.md that a source file quotes exists there.
- The other way round: a test file that mirrors no source file must stand in a room for whole
  systems (`tests/cluster`, ...), or be called `test_..._story.py`.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "protocol/tiercast_mqtt": "tests/mqtt",
    "protocol/tiercast_protocol": "tests/protocol",
    "gateway/tiercast_gateway": "tests/gateway",
    "server/tiercast_server": "tests/server",
    "endpoint/tiercast_endpoint": "tests/endpoint",
    "cli/tiercast_cli": "tests/cli",
}
#: A smell from 400 lines on; 600 would need a reason in the file's docstring.
LONGEST = 400
#: "(docs/protocol.md, section 6)", "docs/protocol-transfer.md, sections 6.2 and 6.5".
QUOTE = re.compile(r"docs/(protocol[a-z-]*\.md), sections? ((?:[0-9.]*[0-9](?:, | and | to )?)+)")


def unknown_sections(text: str) -> list[str]:
    """What `text` quotes of the protocol and is no numbered heading there."""
    return [
        f"{page}, section {number}"
        for page, numbers in QUOTE.findall(text)
        for number in re.findall(r"[0-9.]*[0-9]", numbers)
        if not re.search(rf"(?m)^#+ {re.escape(number)}\.? ", (ROOT / "docs" / page).read_text())
    ]


def main() -> int:
    """Print every finding; the exit code is their presence."""
    findings: list[str] = []
    mirrored: set[Path] = set()
    for source_room, test_room in ROOMS.items():
        for source in sorted((ROOT / source_room).rglob("*.py")):
            inner = source.relative_to(ROOT / source_room)
            text = source.read_text()
            tree = ast.parse(text)
            code = [node for node in tree.body if not isinstance(node, ast.Expr)]
            if "migrations" in inner.parts or inner.name == "__main__.py":
                continue
            findings += [f"{source.relative_to(ROOT)}: quotes {quote}" for quote in unknown_sections(text)]
            if not ast.get_docstring(tree):
                findings.append(f"{source.relative_to(ROOT)}: opens with no docstring")
            if text.count("\n") > LONGEST:
                findings.append(f"{source.relative_to(ROOT)}: longer than {LONGEST} lines")
            if inner.name == "__init__.py" and len(code) <= 1:
                continue
            test = ROOT / test_room / inner.parent / f"test_{inner.stem}.py"
            if inner.name == "__init__.py":
                continue
            mirrored.add(test)
            if not test.exists():
                findings.append(f"{source.relative_to(ROOT)}: no {test.relative_to(ROOT)}")
    findings += [
        f"{test.relative_to(ROOT)}: mirrors no source file"
        for room in ROOMS.values()
        for test in sorted((ROOT / room).rglob("test_*.py"))
        if test not in mirrored and not test.stem.endswith("_story")
    ]
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
