"""Runs a program as its child and ends it when told to, so that nothing is left behind.

Told by a byte on stdin, or by the end of stdin, which is that of whoever started this; then the
program's folder is deleted too. Started by its path, with the folder and the command line: it
imports nothing of this package. Says the child's process id on stdout; the child's output goes to
stderr. Its exit code is the child's.
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
    """Runs the program of the command line; returns its exit code."""
    # Ctrl-C at the terminal is for whoever started this, who then closes stdin.
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
    told = threading.Event()
    ending = threading.Thread(target=_end_when_told, args=(child, told, folder), daemon=True)
    ending.start()
    code = child.wait()
    if told.is_set():
        ending.join()
    return code


def _end_when_told(child: subprocess.Popen[bytes], told: threading.Event, folder: str) -> None:
    # Not `sys.stdin`: an end of the interpreter while that is being read is a crash.
    orphaned = not os.read(0, 1)
    told.set()
    if sys.platform != "win32":
        # A frozen child would not see the signal.
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
