"""Runs a program as its child and ends it when its own stdin does, so that nothing is left behind.

Started by its path: it imports nothing of this package. Says the child's process id on stdout; the
child's output goes to stderr. Its exit code is the child's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_GRACE = 5.0


def main() -> int:
    """Runs the program of the command line; returns its exit code."""
    # Ctrl-C at the terminal is for whoever started this, who then closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(
            sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
        )
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror}")
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with_stdin, args=(child,), daemon=True).start()
    return child.wait()


def _end_with_stdin(child: subprocess.Popen[bytes]) -> None:
    # Not `sys.stdin`: an end of the interpreter while that is being read is a crash.
    while os.read(0, 1):
        pass
    # A frozen child would not see the signal.
    child.send_signal(signal.SIGCONT)
    child.terminate()
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main())
