"""Runs a program as a child process and ends the program together with its own parent.

- A byte on stdin ends the program.
- The end of stdin means that the parent process has ended. The program is ended and its folder is
  deleted.
- The script is started by its path, with the folder and the command line as arguments. The script
  imports nothing of this package.
- The script writes the child's process id to stdout. The child's output goes to stderr.
- The exit code of the script is the child's exit code.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

_GRACE = 5.0


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
