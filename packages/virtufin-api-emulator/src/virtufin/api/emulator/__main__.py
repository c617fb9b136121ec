"""The command `virtufin-emulator`, also as `python -m virtufin.api.emulator`."""

from __future__ import annotations

import sys

from virtufin.api.emulator import _signals


def main() -> int:
    """Runs the command line and returns its exit code."""
    _signals.leave_at_once()
    # Imported after the signal handlers are set, because importing grpc takes most of the start.
    from virtufin.api.emulator._cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
