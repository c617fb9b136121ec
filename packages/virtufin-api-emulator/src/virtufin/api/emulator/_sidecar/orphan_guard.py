"""A script that runs a program as its child, and ends the program when its own parent ends.

The parent is the process that uses the program, such as a test run; `program` starts this script.

- Arguments: a folder (may be empty) and the command line of the program.
- A byte on stdin is the request to end the program.
- The end of stdin means that the parent has ended. The script ends the program and deletes the
  folder.
- The script writes the process id of the program to stdout. The output of the program goes to
  stderr.
- The exit code of the script is that of the program.

The script imports nothing of this package, because it is started by its path, in a Python without
site packages, so that it starts fast.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

_GRACE = 5.0
"""Seconds that the program may take to end after SIGTERM."""


def main() -> int:
    """Runs the program of the command line and returns its exit code."""
    # Ignored, because Ctrl-C in the terminal is meant for the parent, which then closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, *command = sys.argv[1:]
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
        )
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    requested = threading.Event()
    ending = threading.Thread(
        target=_end_when_requested, args=(child, requested, folder), daemon=True
    )
    ending.start()
    code = child.wait()
    if requested.is_set():
        ending.join()
    return code


def _end_when_requested(
    child: subprocess.Popen[bytes], requested: threading.Event, folder: str
) -> None:
    # Not `sys.stdin`, because Python crashes if it ends while `sys.stdin` is being read.
    orphaned = not os.read(0, 1)
    requested.set()
    if sys.platform != "win32":
        # Continued first, because a frozen child does not receive SIGTERM.
        child.send_signal(signal.SIGCONT)
    child.terminate()
    try:
        child.wait(_GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if orphaned and folder:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
