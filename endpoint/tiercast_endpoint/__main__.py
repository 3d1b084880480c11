"""The command `tiercast-endpoint`.

Rules
- The agent itself (`run`) starts without what only a terminal needs: it stays for months, and is to be small.
"""

from __future__ import annotations

import sys

from tiercast_endpoint import resident


def main() -> None:
    """Entry point of the console script."""
    words = sys.argv[1:]
    if resident.understands(words):
        raise SystemExit(resident.run(words))
    from tiercast_endpoint.terminal import app

    app()


if __name__ == "__main__":
    main()
