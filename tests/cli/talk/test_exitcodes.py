"""What an exit code says."""

from __future__ import annotations

import pytest

from tiercast_cli.talk.exitcodes import ExitCode, exit_code_of


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("daemon.unreachable", ExitCode.UNREACHABLE),
        ("package.unknown", ExitCode.USAGE),
        ("package.exists", ExitCode.USAGE),
        ("job.conflict", ExitCode.USAGE),
        ("tree.link", ExitCode.USAGE),
        ("tree.special", ExitCode.USAGE),
        ("tree.changed", ExitCode.FAILED),
        ("tree.cyclic", ExitCode.USAGE),
        ("depot.small", ExitCode.USAGE),
        ("transfer.budget", ExitCode.USAGE),
        ("internal", ExitCode.FAILED),
        ("store.full", ExitCode.FAILED),
    ],
)
def test_an_error_code_maps_to_one_exit_code(error: str, code: ExitCode) -> None:
    assert exit_code_of(error) is code
