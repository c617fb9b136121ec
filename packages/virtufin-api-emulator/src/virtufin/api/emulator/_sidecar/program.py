"""Another program as a process of ours: found, started, watched, and ended in every case."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GUARD = Path(__file__).with_name("orphan_guard.py")
_POLL = 0.02
_STOP_TIMEOUT = 10.0
_SHOWN = 2000
_POSIX = "a real sidecar or Redis is run on Linux and macOS only: stopping one needs POSIX signals"


class MissingProgramError(FileNotFoundError):
    """A program is not on this machine; the text says how to get it."""


def find(name: str, variable: str, elsewhere: Path | None, advice: str) -> str:
    """The path of a program: where an environment variable says, on PATH, or elsewhere.

    Raises:
        MissingProgramError: It is nowhere, or the variable names something that cannot be run.
        NotImplementedError: This is Windows.
    """
    if os.name != "posix":
        raise NotImplementedError(_POSIX)
    if named := os.environ.get(variable):
        if path := shutil.which(named):
            return path
        raise MissingProgramError(f"{variable}={named} names no program that can be run")
    for candidate in (name, elsewhere or name):
        if found := shutil.which(candidate):
            return str(found)
    raise MissingProgramError(f"{name} is not on this machine: {advice}, or set {variable}")


class Program:
    """A running program. Ended by `stop`, or when this process ends in whatever way."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, *, folder: str = ""
    ) -> None:
        """Starts it.

        Args:
            command: Its path and arguments.
            env: Its environment; None for that of this process.
            folder: Deleted when this process ends before the program does.

        Raises:
            RuntimeError: It could not be started; the text says why.
            NotImplementedError: This is Windows.
        """
        if os.name != "posix":
            raise NotImplementedError(_POSIX)
        self._name = Path(command[0]).name
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), folder, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._output,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        line = self._guard.stdout.readline()
        if not line:
            said = self.output()
            self.stop()
            raise RuntimeError(f"{self._name} could not be started: {said}")
        self._pid = int(line)

    @property
    def pid(self) -> int:
        """Id of its process."""
        return self._pid

    def output(self) -> str:
        """What it has written so far."""
        if not os.fstat(self._output.fileno()).st_size:
            return ""  # Which cannot be mapped.
        # Not by reading: the program writes at the offset that a read would move.
        with mmap.mmap(self._output.fileno(), 0, access=mmap.ACCESS_READ) as written:
            return written[:].decode(errors="replace")

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Waits until it is ready; ends it where it does not come to that.

        Raises:
            RuntimeError: It ended, or was not ready within `timeout` seconds; the text has the end
                of its output.
        """
        end = time.monotonic() + timeout
        try:
            while not ready():
                if self._guard.poll() is not None:
                    raise RuntimeError(f"{self._name} ended: {self.output()[-_SHOWN:]}")
                if time.monotonic() > end:
                    text = f"{self._name} was not ready within {timeout:g} s"
                    raise RuntimeError(f"{text}: {self.output()[-_SHOWN:]}")
                time.sleep(_POLL)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """Ends it on the spot, without a chance to tidy up (SIGKILL)."""
        self._signal("SIGKILL")
        self._guard.wait(_STOP_TIMEOUT)
        self.stop()

    def freeze(self) -> None:
        """Stops its time (SIGSTOP): connections stand, nothing is answered."""
        self._signal("SIGSTOP")

    def thaw(self) -> None:
        """Lets it go on (SIGCONT)."""
        self._signal("SIGCONT")

    def stop(self) -> None:
        """Asks it to end (SIGTERM), and waits. Idempotent."""
        guard = self._guard
        assert guard.stdin is not None
        assert guard.stdout is not None
        with suppress(BrokenPipeError, ValueError):
            # A process that was forked from this one may still hold the pipe open.
            guard.stdin.write(b".")
            guard.stdin.flush()
        with suppress(BrokenPipeError):
            guard.stdin.close()
        try:
            guard.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._signal("SIGKILL")
            guard.wait()
        guard.stdout.close()
        self._output.close()

    def _signal(self, name: str) -> None:
        with suppress(ProcessLookupError):
            # By name, as Windows has none of them.
            os.kill(self._pid, signal.Signals[name])
