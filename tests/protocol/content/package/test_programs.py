"""Programs of a definition: read, refused with their keys, and written again."""

import tomllib

import pytest

from tiercast_protocol.content.package.programs import Program, program_lines, read_program
from tiercast_protocol.content.package.reader import Reader


def read(text: str) -> tuple[Program | None, list[str]]:
    reader = Reader(tomllib.loads(text))
    return read_program(reader, "run_after"), [one.key for one in reader.mistakes]


def test_none() -> None:
    assert read("") == (None, [])
    assert program_lines("run_after", None) == []


def test_read_and_written() -> None:
    program = Program(("./a b", "\n"), 300, idempotent=True, output_limit=1024)
    assert read("\n".join(program_lines("run_after", program))) == (program, [])


@pytest.mark.parametrize("argv", ['["sh"]', '["../x"]', "[]", '"x"', '["./"]', '["/bin/a\\u0000"]', "[1]"])
def test_refused(argv: str) -> None:
    assert read(f"[run_after]\nargv = {argv}")[1][0] == "run_after.argv"
