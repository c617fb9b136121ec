"""`python -m virtufin.api.emulator`, and the command `virtufin-emulator`."""

from __future__ import annotations

import sys

from virtufin.api.emulator import _signals


def main() -> int:
    """Runs the command line and returns its exit code."""
    _signals.leave_at_once()
    # Only now, because importing grpc takes longer than anything else up to the first line.
    from virtufin.api.emulator._cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
